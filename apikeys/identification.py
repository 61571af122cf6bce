"""What a text is that somebody found: a key, and which; half of one; a webhook secret; something else.

Nothing that it says quotes the secret part, or what may be it.
"""

from dataclasses import dataclass

from django.utils import timezone

from apikeys.credentials import WEBHOOK_SECRET_PREFIX, parse_key, parse_webhook_secret
from apikeys.models import ApiKey
from apikeys.scanning import CHARACTERS, Standing, standing_of
from emailgistics.common.errors import RefusedError
from emailgistics.common.key_form import BASE62, ID_LENGTH, KEY_PREFIX, keys_in

IDENTIFIER_LENGTH = len(KEY_PREFIX) + ID_LENGTH


@dataclass(frozen=True, slots=True)
class Identified:
    """kind is api_key, identifier, malformed_key, webhook_secret or other. id, status and name are those of the key
    that it is, or that a typo was made in; status is a Standing, or that of `ApiKey.standing` for an identifier alone.
    """

    kind: str
    detail: str
    id: str | None = None
    status: str | None = None
    name: str | None = None

    @property
    def is_known(self) -> bool:
        return self.kind in ("api_key", "identifier") and self.status not in (None, Standing.UNKNOWN)


def identify(text: str) -> Identified:
    text = text.strip()
    if len(within := keys_in(text)) == 1:
        return _key(within[0], is_alone=text == within[0])
    if text.startswith(WEBHOOK_SECRET_PREFIX):
        return _webhook_secret(text)
    if text.startswith(KEY_PREFIX):
        return _identifier(text) if _is_identifier(text) else _malformed(text)
    several = f"There are {len(within)} keys in it: `apikeys scan -` names them." if within else ""
    return Identified("other", several or f"It is no key: those begin with {KEY_PREFIX}.")


def _key(plaintext: str, *, is_alone: bool) -> Identified:
    identifier, standing = parse_key(plaintext), standing_of(plaintext)
    row = ApiKey.objects.filter(identifier=identifier).first()
    if standing is not Standing.UNKNOWN:
        detail = "It is this key, whole, and its checksum fits."
    elif row is None:
        detail = "Its checksum fits, and there is no such key here: another installation's, or purged long ago."
    else:
        detail = "Its checksum fits, and the key with this identifier has another secret: this one is made up."
    if not is_alone:
        detail += " There is more around it than the key."
    known = row if standing is not Standing.UNKNOWN else None
    return Identified("api_key", detail, identifier, standing.value, known.name if known else None)


def _identifier(text: str) -> Identified:
    row = ApiKey.objects.filter(identifier=text).first()
    detail = "It is the identifier of a key, which is no secret"
    if row is None:
        return Identified("identifier", f"{detail}; there is no such key here.", text, Standing.UNKNOWN.value)
    return Identified("identifier", f"{detail}.", text, row.standing(timezone.now()).value, row.name)


def _malformed(text: str) -> Identified:
    """It begins as a key does; which one may be told by its identifier."""
    identifier = text[:IDENTIFIER_LENGTH]
    row = ApiKey.objects.filter(identifier=identifier).first()
    detail = f"It is a key with a mistake in it, or part of one: {_mistake(text)}."
    if row is None:
        return Identified("malformed_key", detail)
    return Identified("malformed_key", detail, row.identifier, row.standing(timezone.now()).value, row.name)


def _mistake(text: str) -> str:
    if len(text) != CHARACTERS:
        return f"a key has {CHARACTERS} characters, and this has {len(text)}"
    for position, character in enumerate(text[len(KEY_PREFIX) :], start=len(KEY_PREFIX) + 1):
        is_separator = position == IDENTIFIER_LENGTH + 1
        if (character != "_") if is_separator else (character not in BASE62):
            return f"its character {position} is not {'_' if is_separator else 'one of 0-9, A-Z and a-z'}"
    return "its checksum does not fit, so at least one character is another"


def _webhook_secret(text: str) -> Identified:
    try:
        octets = parse_webhook_secret(text)
    except RefusedError as refusal:
        return Identified("other", f"It begins as a webhook secret does, and is none. {refusal.message}")
    return Identified(
        "webhook_secret", f"It has the form of a webhook secret ({len(octets)} octets): it signs, and opens nothing."
    )


def _is_identifier(text: str) -> bool:
    return len(text) == IDENTIFIER_LENGTH and all(character in BASE62 for character in text[len(KEY_PREFIX) :])
