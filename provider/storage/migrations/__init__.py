"""The alembic revisions of the database schema."""
