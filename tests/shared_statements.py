"""One dialect and one cache of compiled statements for all databases of a test process.

Nearly every test opens a database of its own, and each engine would compile every statement again.
That took a fifth of the time of the suite.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytest
from sqlalchemy import Engine

from provider.storage import postgres, sqlite

CreateEngine = Callable[..., Engine]


@contextmanager
def shared_statements() -> Iterator[None]:
    """Let the engines of each database system share what they compile."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (sqlite, "create_sqlite_engine"),
            (postgres, "create_postgres_engine"),
        ):
            patch.setattr(module, name, _sharing(getattr(module, name)))
        yield


def _sharing(create_engine: CreateEngine) -> CreateEngine:
    # The dialect and the cache of an engine, by the module of its driver.
    shared: dict[Any, tuple[Any, Any]] = {}

    @wraps(create_engine)
    def create(*args: Any, **options: Any) -> Engine:
        engine = create_engine(*args, **options)
        dialect, cache = shared.get(engine.dialect.dbapi, (None, None))
        if hasattr(dialect, "default_isolation_level"):  # its engine has connected
            engine.dialect = engine.pool._dialect = dialect
            engine._compiled_cache = cache
        else:
            shared[engine.dialect.dbapi] = engine.dialect, engine._compiled_cache
        return engine

    return create
