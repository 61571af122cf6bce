"""Statements that PostgreSQL plans once for a connection, and not each time they are asked."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def prepared() -> Iterator[None]:
    """What is executed within, on a connection that stands, is a prepared statement from its first time on.

    For a statement whose text is always the same and whose plan does not depend on its parameters. All others are
    planned with their parameters: a plan without them would not see that a partial index will do.
    """
    if connection.vendor != "postgresql":
        yield
        return
    connection.connection.prepare_threshold = 0
    try:
        yield
    finally:
        connection.connection.prepare_threshold = None
