"""The tables beside a check, each with its states and queries."""
