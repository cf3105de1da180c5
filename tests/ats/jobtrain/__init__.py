"""Tests of the adapter of Jobtrain."""
