"""Screenings that referees answer by a form."""
