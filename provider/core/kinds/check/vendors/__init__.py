"""Screenings that a vendor does: the connector, its requests and answers, and a simulator."""
