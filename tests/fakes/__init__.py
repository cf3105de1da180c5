"""Strict fakes of the ATSes' own APIs, which the program calls."""
