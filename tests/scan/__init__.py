"""`make scan`: scanners that are no dependencies look for weaknesses of a running server."""
