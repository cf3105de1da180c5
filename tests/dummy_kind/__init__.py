"""A kind that only the tests have: the candidate writes a greeting, and its length is the score."""
