"""Adverse action: the notices, their texts, and the waiting times by jurisdiction."""
