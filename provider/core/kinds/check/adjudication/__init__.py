"""The rules of an account that propose a decision, and their trial over past checks."""
