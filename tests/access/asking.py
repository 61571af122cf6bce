"""Asking, and all of an answer by which one thing could be told from another."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from django.db import connection
from django.http import HttpResponse
from django.test import Client

from tests.headers import headers_of

SAVEPOINT = re.compile(r'SAVEPOINT "\w+"')  # each has a name of its own
REMAINING, LIMIT, RESET = "X-RateLimit-Remaining", "X-RateLimit-Limit", "X-RateLimit-Reset"
OF_A_KEY = re.compile(r"X-API-Key-.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer with what it took: the queries' texts, with places where ids go, and what the limiter charged."""

    status: int
    content: bytes
    headers: tuple[tuple[str, str], ...]
    queries: tuple[str, ...]
    cost: int | None  # None for a 401, which has no key to charge

    @property
    def code(self) -> str:
        return str(json.loads(self.content).get("code", "")) if self.status >= 400 and self.content else ""

    @property
    def problem(self) -> dict[str, Any]:
        return dict(json.loads(self.content))

    def header(self, name: str) -> str:
        return dict(self.headers)[name]

    def of_any_key(self) -> "Seen":
        """Without what only says whose key it was."""
        kept = tuple(header for header in self.headers if not OF_A_KEY.fullmatch(header[0]))
        return replace(self, headers=kept, cost=None)


@cache
def _client() -> Client:
    """One for all: each that is new loads all middleware, which takes as long as ten requests."""
    return Client()


class Caller:
    """Sends these headers with each request, and keeps account of what its key was charged."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._remaining, self._reset = 0, ""

    def ask(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: str | Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Seen:
        sent: dict[str, Any] = dict(more)
        if body is not None:
            text = body if isinstance(body, str) else json.dumps(body)
            sent |= {"data": text, "content_type": "application/json"}
        queries: list[str] = []

        def note(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
            queries.append(SAVEPOINT.sub("SAVEPOINT", sql))
            return execute(sql, *arguments)

        with connection.execute_wrapper(note):
            answer: Any = _client().generic(method, url, query_params=query or {}, headers=dict(self._headers), **sent)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        headers = tuple(sorted(headers_of(answer).items()))
        return Seen(answer.status_code, content, headers, tuple(queries), self._cost(answer))

    def _cost(self, answer: HttpResponse) -> int | None:
        if REMAINING not in answer:
            return None
        remaining, reset = int(answer[REMAINING]), answer[RESET]
        # of a window that begins with this answer, all of it was left
        before = self._remaining if reset == self._reset else int(answer[LIMIT])
        self._remaining, self._reset = remaining, reset
        return before - remaining


def check_that_all_are_the_same(
    things: Iterable[str], ask: Callable[[str], Seen], *, what: str, may_be: tuple[int, ...]
) -> Seen:
    """The first one was never given to anything; the answer."""
    first: Seen | None = None
    for thing in things:
        seen = ask(thing)
        first = first or seen
        assert seen.status in may_be, f"{what}: {thing!r} is answered {seen.status} {seen.content[:300]!r}"
        differing = [name for name in Seen.__slots__ if getattr(seen, name) != getattr(first, name)]
        assert not differing, f"{what}: {thing!r} is not like the first; it differs in {differing}:\n{seen}\n{first}"
    assert first is not None, f"{what}: there is nothing to compare"
    return first
