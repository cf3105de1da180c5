"""Tests of the adapter of PageUp."""
