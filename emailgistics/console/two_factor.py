"""Two-factor sign-in: an app that shows codes, and recovery codes for when it is not at hand.

Codes are those of RFC 6238 as all such apps show them (SHA-1, 6 digits, 30 s); django-otp computes them, and names what
the session keeps of it. A code counts once, and one step before or after its time: clocks differ.
"""

import base64
import re
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import segno
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.oath import TOTP

from emailgistics.common import audit, journal
from emailgistics.common.crypto import DecryptionError, decrypt, encrypt
from emailgistics.common.logs import get_logger
from emailgistics.common.sealed import context
from emailgistics.console.models import Authenticator, RecoveryCode

STEP_S, DIGITS, DRIFT = 30, 6, 1
SECRET_BYTES = 20  # RFC 4226 section 4, R6
RECOVERY_CODES = 10
RECOVERY_BYTES = 10  # 80 bits: nothing to guess, so a plain digest keeps them
ALPHABET_PAUSE = 4  # characters between two hyphens of a recovery code
log = get_logger(__name__)

OFF, CODES_CHANGED = "person.two_factor_off", "person.recovery_codes_changed"  # in the journal
MARK = DEVICE_ID_SESSION_KEY  # in the session of whoever gave a second factor


@dataclass(frozen=True, slots=True)
class SetUp:
    """What an app has to be told."""

    secret: str  # in groups, to type
    picture: str  # a QR code, as a data URI


def authenticator_of(user: Any) -> Authenticator | None:
    device: Authenticator | None = Authenticator.objects.filter(user=user, confirmed=True).first()
    return device


def codes_left(user: Any) -> int:
    return RecoveryCode.objects.filter(user=user, used_at=None).count()


def prepare(user: User) -> SetUp:
    """The secret to come: the same until it is confirmed, so that a reload changes nothing for who has scanned it."""
    secret = _secret_of(_unconfirmed(user))
    issuer = f"Emailgistics {urlsplit(settings.BASE_URL).hostname}"
    text = base64.b32encode(secret).decode()
    label = quote(f"{issuer}:{user.get_username()}")
    uri = f"otpauth://totp/{label}?{urlencode({'secret': text, 'issuer': issuer}, quote_via=quote)}"
    picture = segno.make(uri, error="m", micro=False).svg_data_uri(scale=5, border=4, light="#fff")
    return SetUp(secret=" ".join(re.findall(".{1,4}", text)), picture=picture)


def confirm(user: User, code: str, *, address: str) -> list[str] | None:
    """Switches it on: the recovery codes, which are shown this once; None if the code does not fit."""
    with transaction.atomic():
        device = Authenticator.objects.filter(user=user, confirmed=False).first()
        if device is None or not _take_code(device, _digits(code)):
            return None
        if not Authenticator.objects.filter(pk=device.pk, confirmed=False).update(confirmed=True):
            return None
        codes = _new_codes(user)
        audit.record("person.two_factor_on", of=_id(user), person=user, address=address)
    return codes


def accepts(user: Any, text: str) -> bool:
    """Whether the text is a code of the app or a recovery code; then it is spent. Of two at once, one is let in."""
    if len(digits := _digits(text)) == DIGITS and digits.isdecimal():
        device = authenticator_of(user)
        return device is not None and _take_code(device, digits)
    with transaction.atomic():
        rows = RecoveryCode.objects.filter(user=user, digest=_digest(user, text), used_at=None)
        is_taken = bool(rows.update(used_at=timezone.now()))
        if is_taken:
            audit.record("person.recovery_code_used", of=_id(user), person=user, details={"left": codes_left(user)})
            journal.note_person(CODES_CHANGED, user)
    return is_taken


@transaction.atomic
def renew_codes(user: User, *, address: str) -> list[str]:
    audit.record("person.recovery_codes_renewed", of=_id(user), person=user, address=address)
    journal.note_person(CODES_CHANGED, user)
    return _new_codes(user)


@transaction.atomic
def switch_off(user: User, *, by: User | None, address: str = "") -> bool:
    """Forgets app and codes; False if there was nothing to forget. Who does it to another has reset it."""
    count, _each = Authenticator.objects.filter(user=user, confirmed=True).delete()
    RecoveryCode.objects.filter(user=user).delete()
    if count:
        action = "person.two_factor_off" if by == user else "person.two_factor_reset"
        audit.record(action, of=_id(user), person=by, address=address)
        journal.note_person(OFF, user)
    return bool(count)


def code_at(secret: bytes, step: int) -> str:
    totp = TOTP(secret, step=STEP_S, digits=DIGITS)
    totp.time = step * STEP_S
    return f"{totp.token():0{DIGITS}d}"


def _unconfirmed(user: User) -> Authenticator:
    device = Authenticator(user=user, name="app", confirmed=False)
    device.sealed_secret = encrypt(secrets.token_bytes(SECRET_BYTES), context=_context(device))
    try:
        with transaction.atomic():
            device.save(force_insert=True)
    except IntegrityError:  # one for each
        device = Authenticator.objects.get(user=user, confirmed=False)
    return device


def _take_code(device: Authenticator, code: str) -> bool:
    now = int(time.time()) // STEP_S
    try:
        secret = _secret_of(device)
    except DecryptionError as error:
        log.error("two_factor.unreadable", user=device.user_id, reason=str(error))  # noqa: TRY400 - all is said
        return False  # recovery codes go on, and it can be reset
    for step in range(now - DRIFT, now + DRIFT + 1):
        if secrets.compare_digest(code_at(secret, step).encode(), code.encode()):
            later = Authenticator.objects.filter(pk=device.pk, last_step__lt=step)
            return bool(later.update(last_step=step))
    return False


def _new_codes(user: User) -> list[str]:
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_digest(user, code)) for code in codes)
    return codes


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower()
    return "-".join(text[at : at + ALPHABET_PAUSE] for at in range(0, len(text), ALPHABET_PAUSE))


def _digest(user: Any, text: str) -> bytes:
    return sha256(f"{user.pk}:{_letters(text)}".encode()).digest()


def _letters(text: str) -> str:
    return re.sub(r"[\s-]", "", text).lower()


def _digits(text: str) -> str:
    return re.sub(r"[\s-]", "", text)


def _secret_of(device: Authenticator) -> bytes:
    return decrypt(bytes(device.sealed_secret), context=_context(device))


def _context(device: Authenticator) -> str:
    return context(Authenticator, "sealed_secret", device.pk)


def _id(user: User) -> str:
    return f"user:{user.pk}"
