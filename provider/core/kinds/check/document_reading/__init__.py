"""The reading of uploaded documents: pages from a limited child process, and the virus scanner."""
