"""The content of a package: its screenings, their types, the details and documents they need."""
