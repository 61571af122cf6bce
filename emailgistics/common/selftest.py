"""Whether the secrets of the environment are those that this database was used with.

A wrong pepper would be a thousand 401s, a wrong encryption key webhooks that are never signed, another SECRET_KEY
people who are signed out. So each secret is recorded when it is first seen, by a value that tells nothing of it, and a
process does not start with another one under the same number, or without one that rows still need.
"""

import time
from collections.abc import Collection, Iterator, Mapping

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, OperationalError, connection
from django.utils import timezone

from emailgistics.common import key_uses, sealed, triggers
from emailgistics.common.crypto import derived
from emailgistics.common.key_uses import ENCRYPTION, RINGS, ring_of
from emailgistics.common.logs import get_logger
from emailgistics.common.models import SecretCheck

log = get_logger(__name__)

SECRET_KEY = "SECRET_KEY"  # noqa: S105 - the variable's name
ONLY = 0  # the number of a secret without one
PURPOSE = b"emailgistics self-test 1 "
ASK_AGAIN_S = 1

Secret = tuple[str, int]  # variable and number


def refuse_wrong_secrets() -> None:
    """One query, when all is as it was and no number was ever dropped. A number that is new is recorded; a database
    without tables is said in the log.

    Raises ImproperlyConfigured, which names variable and number and quotes no secret.
    """
    known = _known()
    if known is None:
        log.error("selftest.no_tables", remedy="manage.py migrate")
        return
    given = {secret: _value(*secret) for secret in _secrets()}
    for secret in sorted(given.keys() & known.keys()):
        if given[secret] != bytes(known[secret].value):
            raise ImproperlyConfigured(_is_another(*secret))
    absent, fresh = known.keys() - given.keys(), given.keys() - known.keys()
    given_up = {secret for secret in absent if known[secret].given_up_at is not None}
    # of one that was dropped long ago, too: a host that still has it may have written something with it since
    if absent - given_up or fresh:
        _refuse_missing(besides=given_up)
    if fresh:
        _refuse_what_opens_nothing(fresh)
        _record({secret: given[secret] for secret in fresh}, is_first=not known)
    dropped = {secret for secret in absent if known[secret].dropped_at is None}
    _note(known, given=given.keys(), dropped=dropped)


def refuse() -> None:
    """For the parts that run on, as they start. Raises ImproperlyConfigured for wrong secrets, and for a database in
    which anybody could change what never changes.
    """
    refuse_wrong_secrets()
    triggers.refuse_unguarded(connection)


def wait_and_refuse() -> None:
    """`refuse`, once there is a database to look at: nothing starts unchecked. Lets go of its connection, which is not
    for the children of this process.
    """
    while True:
        try:
            refuse()
        except OperationalError as error:
            log.warning("selftest.database_away", reason=str(error).strip())
        else:
            return
        finally:
            connection.close()
        time.sleep(ASK_AGAIN_S)


def accept(name: str, number: int) -> bool:
    """From now on what is configured under that number counts, or that nothing is. False: nothing is known of it.

    For a secret that is lost for good: what it was for does not come back.
    """
    secret = (name, number)
    is_given = secret in _secrets()
    rows = SecretCheck.objects.filter(name=name, number=number)
    if is_given:
        return bool(rows.update(value=_value(*secret), dropped_at=None, given_up_at=None, was_primary=True))
    return bool(rows.update(dropped_at=timezone.now(), given_up_at=timezone.now()))


def missing(ring: str) -> Iterator[tuple[int, str]]:
    """Numbers that are not configured and that rows need, and what to do about each."""
    needed: dict[int, list[str]] = {}
    remedies: dict[int, set[str]] = {}
    for use in key_uses.uses_of(ring):
        for number, needing in use.by_number().items():
            until = f" (the last until {needing.until:%Y-%m-%d %H:%M} UTC)" if needing.until else ""
            needed.setdefault(number, []).append(f"{needing.rows} {use.of}{until}")
            remedies.setdefault(number, set()).add(use.remedy)
    for number in sorted(needed.keys() - ring_of(ring).keys.keys()):
        what, remedy = ", ".join(needed[number]), "; ".join(sorted(remedies[number]))
        message = f"{ring}: number {number} is not configured, and needed by {what}. Put it back. Before it can go, "
        yield number, f"{message}{remedy}."


def differences(values: Mapping[Secret, bytes], *, needed: Collection[Secret]) -> Iterator[str]:
    """What keeps the configured secrets from opening a database of which this is known: its secrets' values, as they
    were recorded, and which of them its rows need.
    """
    given = set(_secrets())
    for secret in sorted({*needed} - given):
        name, number = secret
        yield f"{name}: number {number} is not configured, and rows of the backup need it. Put it back."
    for secret in sorted(given & values.keys()):
        if _value(*secret) != values[secret]:
            yield _is_another(*secret)


def _known() -> dict[Secret, SecretCheck] | None:
    """None: the table is not there yet. Raises OperationalError when the database is away."""
    try:
        return {(row.name, row.number): row for row in SecretCheck.objects.all()}
    except DatabaseError:
        if SecretCheck._meta.db_table in connection.introspection.table_names():  # noqa: SLF001 - Django's public name
            raise
        return None


def _secrets() -> list[Secret]:
    return [(SECRET_KEY, ONLY), *((name, number) for name in RINGS for number in ring_of(name).keys)]


def _value(name: str, number: int) -> bytes:
    secret = settings.SECRET_KEY.encode() if name == SECRET_KEY else ring_of(name).keys[number]
    return derived(secret, purpose=PURPOSE + name.encode())


def _is_another(name: str, number: int) -> str:
    handle = name if number == ONLY else f"{name}:{number}"
    what = f"{name} is" if number == ONLY else f"{name}: number {number} is"
    return (
        f"{what} another one than this database was used with. Put the former one back; a new one has a number of its "
        "own (docs/operations/secrets.md). If the former one is lost for good, see "
        f"`manage.py rotate_keys --accept {handle}`."
    )


def _refuse_missing(*, besides: Collection[Secret]) -> None:
    for ring in RINGS:
        for number, message in missing(ring):
            if (ring, number) not in besides:
                raise ImproperlyConfigured(message)


def _refuse_what_opens_nothing(fresh: Collection[Secret]) -> None:
    """What is recorded first is what counts later, so it must not be a wrong one where rows can tell."""
    for name, number in sorted(fresh):
        if name == ENCRYPTION and not all(column.opens(number) for column in sealed.columns()):
            raise ImproperlyConfigured(_is_another(name, number))


def _record(values: dict[Secret, bytes], *, is_first: bool) -> None:
    """is_first: nothing is known of what was written before, so any of them may have been primary."""
    SecretCheck.objects.bulk_create(
        (
            SecretCheck(name=name, number=number, value=value, was_primary=is_first or _is_primary(name, number))
            for (name, number), value in values.items()
        ),
        ignore_conflicts=True,
    )
    now_known = {(row.name, row.number): bytes(row.value) for row in SecretCheck.objects.all()}
    for secret, value in values.items():
        if now_known[secret] != value:  # another process started at once, with another secret
            raise ImproperlyConfigured(_is_another(*secret))
    log.info("selftest.recorded", secrets=[f"{name}:{number}" for name, number in values])


def _note(known: dict[Secret, SecretCheck], *, given: Collection[Secret], dropped: Collection[Secret]) -> None:
    """Writes down what has become of the numbers: primary now, dropped, or back."""
    rows = [
        row
        for secret, row in known.items()
        if secret in dropped
        or (secret in given and (row.dropped_at is not None or (_is_primary(*secret) and not row.was_primary)))
    ]
    for row in rows:
        is_dropped = (row.name, row.number) in dropped
        row.dropped_at = timezone.now() if is_dropped else None
        row.was_primary = row.was_primary or (not is_dropped and _is_primary(row.name, row.number))
    if rows:
        SecretCheck.objects.bulk_update(rows, ["dropped_at", "was_primary"])


def _is_primary(name: str, number: int) -> bool:
    return name == SECRET_KEY or ring_of(name).primary == number
