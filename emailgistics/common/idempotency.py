"""Requests that may be sent again: what one with an Idempotency-Key does is done once, and the answer is the same.

What was answered is kept in the transaction of what the request has done, so that there is both or neither; see
`views.ApiViewSet`. Only that: a request that was refused has done nothing, so it is judged anew, and may be another
one under the same Idempotency-Key. All of it is sealed. Secrets are not in it, nor is what shows mail: those are read
again from where they are.

A kept answer is for the API key that asked, and only as long as that may still open every mailbox that the request
was about: otherwise there is nothing here, as for whoever asks for one of them.
"""

import json
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any, TypedDict
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common import footprint, problems
from emailgistics.common.access import Principal, principal
from emailgistics.common.bodies import body_of
from emailgistics.common.bulk import delete_little_by_little
from emailgistics.common.crypto import DecryptionError, decrypt, encrypt
from emailgistics.common.errors import LimitReachedError, NotFoundError, UnavailableError
from emailgistics.common.ids import uuid7
from emailgistics.common.models import KeptAnswer
from emailgistics.common.sealed import context

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"  # "true" in an answer that was given before
METHODS = ("POST", "PATCH")
KEPT_FOR = timedelta(hours=24)
MAX_NAME_LENGTH = 255
NAME = re.compile(rf"[!-~]{{1,{MAX_NAME_LENGTH}}}")
NO_NAME = f"This is 1 to {MAX_NAME_LENGTH} visible ASCII characters, without a space."
# Of small answers an API key has no more than it may make requests; of large ones, octets as they are kept.
SMALL_BYTES = 16 * 1024
MAX_LARGE_BYTES = 64 * 1024 * 1024
# of an answer, and not kept; beside it stands the `id` of what it belongs to
SECRET_FIELD = "secret"  # noqa: S105 - a name

# whether the caller may still see all of these mailboxes and aliases
Sight = Callable[[Principal, Collection[UUID], Collection[UUID]], bool]


class MismatchError(exceptions.APIException):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    default_code = "idempotency_mismatch"
    default_detail = (
        f"Another request, by its method, path, query or body, was sent with this {HEADER} within the last 24 hours: "
        "give each request one of its own."
    )


class InProgressError(exceptions.APIException):
    status_code = HTTPStatus.CONFLICT
    default_code = "idempotency_in_progress"
    default_detail = f"The request before with this {HEADER} is not done yet: send it again in a moment."
    wait = 1  # seconds


class TooMuchKeptError(LimitReachedError):
    """So that nobody fills the disk with answers."""

    code = "idempotency_full"


class Kept(TypedDict):
    """What is sealed."""

    request: str  # by which it is known again
    status: int
    headers: dict[str, str]
    body: Any
    made: str  # the id of what is shown anew, in place of an answer; empty for a kept one
    mailboxes: list[str]
    aliases: list[str]


@dataclass(frozen=True, slots=True)
class Claim:
    """To be the only one that does what this request asks for."""

    caller: Principal
    digest: bytes  # of the Idempotency-Key
    request: str  # digest of all that it says


def claim_of(request: Request) -> Claim:
    """Of a request that has the header. Raises ValidationError, and whatever reading its body raises."""
    name = request.headers[HEADER]
    check_name(name)
    said = (str(request.method), request.path, _ordered(request.query_params.lists()), _ordered(body_of(request)))
    return Claim(principal(request), sha256(name.encode()).digest(), sha256("\n".join(said).encode()).hexdigest())


def check_name(name: str) -> None:
    """Raises ValidationError."""
    if not NAME.fullmatch(name):
        raise exceptions.ValidationError({HEADER: NO_NAME})


@contextmanager
def held(claim: Claim) -> Iterator[Kept | None]:
    """A transaction in which nobody else does the same; with what was kept of it before. Raises as `kept_of` does,
    and InProgressError.
    """
    with transaction.atomic(durable=True):
        _hold(claim)
        yield kept_of(claim)


def kept_of(claim: Claim) -> Kept | None:
    """What was kept of the same request. Raises MismatchError, NotFoundError if it is not for its caller any more."""
    row = _rows(claim).filter(kept_at__gt=timezone.now() - KEPT_FOR).first()
    if row is None:
        return None
    kept = _opened(row)
    if kept["request"] != claim.request:
        raise MismatchError
    mailboxes, aliases = map(UUID, kept["mailboxes"]), map(UUID, kept["aliases"])
    if not _is_seen(claim.caller, list(mailboxes), list(aliases)):
        raise NotFoundError(problems.NOT_FOUND)
    return kept


def keep_answer(claim: Claim, answer: Response) -> None:
    """In the transaction of `held`. Raises TooMuchKeptError."""
    body = json.loads(JSONRenderer().render(answer.data) or "null")
    _keep(claim, status=answer.status_code, headers=dict(answer.headers), body=without_secrets(body), made="")


def keep_made(claim: Claim, public_id: str) -> None:
    """The same for what is shown anew: an answer that says what is in a mail, or takes its time."""
    _keep(claim, status=HTTPStatus.OK, headers={}, body=None, made=public_id)


def without_secrets(body: Any) -> Any:
    """With the digest of each secret in its place, by which it is known again; it is random, so that tells nothing."""
    return _with_secrets_replaced(body, lambda _, secret: sha256(secret.encode()).hexdigest())


def with_secrets(body: Any, open_secret: Callable[[str, str], str]) -> Any:
    """open_secret is given the id of what a secret belongs to, and its digest."""
    return _with_secrets_replaced(body, open_secret)


def is_secret(secret: str, *, digest: str) -> bool:
    return sha256(secret.encode()).hexdigest() == digest


def prune(*, now: datetime | None = None) -> int:
    """Forgets what was kept for KEPT_FOR; returns how many answers went."""
    return delete_little_by_little(KeptAnswer.objects.filter(kept_at__lte=(now or timezone.now()) - KEPT_FOR))


_sights: dict[str, Sight] = {}


def register_sight(sight: Sight) -> None:
    """By the app that knows of mailboxes and aliases."""
    _sights[f"{sight.__module__}.{sight.__qualname__}"] = sight


def _is_seen(caller: Principal, mailboxes: Collection[UUID], aliases: Collection[UUID]) -> bool:
    return all(sight(caller, mailboxes, aliases) for sight in _sights.values())


def _rows(claim: Claim) -> Any:
    return KeptAnswer.objects.filter(api_key=claim.caller.key_id, digest=claim.digest)


def _hold(claim: Claim) -> None:
    """Until the transaction ends. Raises InProgressError.

    SQLite has one writer at a time: who comes second has waited for the first by now, and finds what that has kept.
    """
    if connection.vendor != "postgresql":
        return
    number = sha256(claim.caller.key_id.bytes + claim.digest).digest()[:8]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(number, "big", signed=True)])
        (is_ours,) = cursor.fetchone()
    if not is_ours:
        raise InProgressError


def _keep(claim: Claim, **answer: Any) -> None:
    used = footprint.current()
    kept = {
        **answer,
        "request": claim.request,
        "mailboxes": sorted(map(str, used.mailboxes)),
        "aliases": sorted(map(str, used.aliases)),
    }
    octets = zlib.compress(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode())
    _refuse_too_much(claim.caller, len(octets))
    _rows(claim).delete()  # one whose time is over, and that nobody has pruned yet
    pk = uuid7()
    KeptAnswer.objects.create(
        pk=pk,
        api_key=claim.caller.key_id,
        digest=claim.digest,
        kept_at=timezone.now(),
        size=len(octets),
        sealed=encrypt(octets, context=_context(pk)),
    )


def _refuse_too_much(caller: Principal, size: int) -> None:
    if size <= SMALL_BYTES:
        return
    large = KeptAnswer.objects.filter(api_key=caller.key_id, size__gt=SMALL_BYTES)
    if size + (large.aggregate(octets=Sum("size"))["octets"] or 0) > MAX_LARGE_BYTES:
        raise TooMuchKeptError(
            "So many large answers are kept for this key that there is no room for another one. Nothing was done: send "
            f"this without {HEADER}, or some hours later."
        )


def _opened(row: KeptAnswer) -> Kept:
    try:
        octets = decrypt(bytes(row.sealed), context=_context(row.pk))
    except DecryptionError as error:
        raise UnavailableError("The kept answer does not open: an operator has to look at it.") from error
    kept: Kept = json.loads(zlib.decompress(octets))
    return kept


def _context(pk: UUID) -> str:
    return context(KeptAnswer, "sealed", pk)


def _ordered(said: Mapping[str, Any] | Iterable[Any]) -> str:
    """The same text however the names are ordered and spaced. Octets, of a mail, stand for themselves."""
    plain = dict(said)
    return json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_digest_of)


def _digest_of(octets: bytes) -> str:
    return sha256(octets).hexdigest()


def _with_secrets_replaced(body: Any, replace: Callable[[str, str], str]) -> Any:
    if isinstance(body, list):
        return [_with_secrets_replaced(one, replace) for one in body]
    if not isinstance(body, dict):
        return body
    return {
        name: replace(str(body.get("id", "")), value)
        if name == SECRET_FIELD and isinstance(value, str)
        else _with_secrets_replaced(value, replace)
        for name, value in body.items()
    }
