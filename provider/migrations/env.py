"""How alembic reaches the database: always by a connection that the caller opened."""

from alembic import context

from provider import kinds, meter  # noqa: F401  (every table is known once these are)
from provider.db import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
