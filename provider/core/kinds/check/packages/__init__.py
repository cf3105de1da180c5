"""What a package contains: its screenings, their types, the details and documents they need."""
