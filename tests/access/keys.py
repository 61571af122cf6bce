"""Keys that open nothing, in each way in which they may, and keys that open a part."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from apikeys.authentication import widen
from apikeys.credentials import new_key, new_webhook_secret
from apikeys.models import ApiKey
from apikeys.services import create_api_key, revoke_api_key
from emailgistics.common.access import Scope
from emailgistics.common.key_form import CHECKSUM_LENGTH, KEY_PREFIX, checksum
from mailboxes.models import Mailbox
from tests.access.asking import Caller
from tests.access.table import Row
from tests.apikeys.factories import make_expired_key, make_key, make_unsealed_key
from tests.factories import in_days


@dataclass(frozen=True, slots=True)
class Refused:
    """What a request may carry instead of a good key, with the code of its 401 and the queries that it takes."""

    what: str
    code: str
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    queries: int = 0


def refused_keys() -> list[Refused]:
    _, good = make_key()
    return [*_without(good), *_malformed(good), *_dead(good)]


def _without(good: str) -> Iterator[Refused]:
    names = ("key", "api_key", "access_token", "X-API-KEY", "Authorization")
    yield Refused("no key", "missing_credentials", {})
    yield Refused("another scheme", "missing_credentials", {"Authorization": f"Basic {good}"})
    yield Refused("in the query", "missing_credentials", {}, dict.fromkeys(names, good))
    yield Refused("in a cookie", "missing_credentials", {"Cookie": f"key={good}; Authorization={good}"})


def _malformed(good: str) -> Iterator[Refused]:
    other = new_key().plaintext
    bodies = {
        "nothing after Bearer": "", "truncated by one": good[:-1], "truncated to its identifier": good[:15],
        "wrong checksum": good[:-1] + ("1" if good[-1] == "0" else "0"), "over-long": good * 2000,
        "another prefix": "ghp_" + good[len(KEY_PREFIX):], "upper case": good.upper(),
        "a prefix with a good checksum": _checked(f"emgx_{good[5:-CHECKSUM_LENGTH]}"),
        "webhook secret": new_webhook_secret(), "non-ASCII": f"{good[:-1]}ß",
        "full-width digit, in UTF-8": f"{good[:-1]}\N{FULLWIDTH DIGIT ONE}".encode().decode("latin-1"),
        "NUL": f"{good}\x00", "line feed within": f"{good[:20]}\n{good[20:]}", "escape": f"\x1b{good}",
        "two in one": f"{good} {other}", "two lines that a server has joined": f"{good},Bearer {good}",
        "quoted": f'"{good}"',
    }  # fmt: skip
    for what, value in bodies.items():
        yield Refused(what, "malformed_key", {"Authorization": f"Bearer {value}"})
        yield Refused(f"{what}, in a header of its own", "malformed_key", {"X-API-KEY": value})
    both = {"Authorization": f"Bearer {good}", "X-API-KEY": other}
    yield Refused("two that differ", "malformed_key", both)
    yield Refused("one good and one cut off", "malformed_key", both | {"X-API-KEY": good[:-1]})
    yield Refused("without Bearer", "malformed_key", {"Authorization": good})


def _dead(good: str) -> Iterator[Refused]:
    unknown = new_key().plaintext
    wrong = _checked(f"{good[:15]}_{'0' * 32}")
    yield _refused("unknown", "invalid_key", unknown)
    yield _refused("another secret", "invalid_key", wrong)
    yield _refused("not sealed", "invalid_key", make_unsealed_key()[1])
    yield _refused("expired", "key_expired", make_expired_key()[1])
    revoked, plaintext = make_key()
    revoke_api_key(revoked)
    yield _refused("revoked", "key_revoked", plaintext)
    yield _refused("revoked by a time that has come", "key_revoked", _ended_by_schedule())
    elsewhere = create_api_key(
        name="CI", expires_at=in_days(30), scopes=Scope, mailboxes=None, networks=["192.0.2.0/24", "2001:db8::/32"]
    )
    yield _refused("from another network", "network_not_allowed", elsewhere[1])


def _refused(what: str, code: str, plaintext: str) -> Refused:
    return Refused(what, code, bearer(plaintext), queries=1)


def bearer(plaintext: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {plaintext}"}


def _ended_by_schedule() -> str:
    key, plaintext = make_key()
    ApiKey.objects.filter(pk=key.pk).update(revoke_at=timezone.now() - timedelta(seconds=1))
    return plaintext


def _checked(text: str) -> str:
    return text + checksum(text)


Made = tuple[frozenset[Scope], bool]


class Callers:
    """Good keys for the same mailboxes, or for all, by their scopes."""

    def __init__(self, mailboxes: Sequence[Mailbox], *, rows: Iterable[Row]) -> None:
        self._mailboxes = mailboxes
        self._made: dict[Made, Caller] = {}
        narrow = [set(Scope), *({scope} for scope in Scope), *(set(row.scopes) for row in rows if row.scopes)]
        for scopes in (*narrow, *map(_all_but, Scope)):
            self._make(scopes, everywhere=False)
        for scopes in (set(Scope), *map(_all_but, Scope)):
            self._make(scopes, everywhere=True)

    def of(self, *scopes: Scope, everywhere: bool = False) -> Caller:
        """everywhere: for all mailboxes. One of those that were made: what a test makes is undone."""
        return self._made[frozenset(scopes), everywhere]

    def without(self, missing: Scope, *, everywhere: bool = False) -> Caller:
        """All scopes but those that give this one."""
        return self.of(*_all_but(missing), everywhere=everywhere)

    def _make(self, scopes: set[Scope], *, everywhere: bool) -> None:
        if (frozenset(scopes), everywhere) not in self._made:
            _, plaintext = make_key(mailboxes=None if everywhere else self._mailboxes, scopes=scopes)
            self._made[frozenset(scopes), everywhere] = Caller(bearer(plaintext))


def _all_but(missing: Scope) -> set[Scope]:
    return {scope for scope in Scope if missing not in widen([scope])}
