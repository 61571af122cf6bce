"""What the checks say of a mail, in the words of RFC 8601 section 2.7."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from mailboxes.mime.charsets import clean_line

Json = dict[str, Any]
MAX_SHOWN_CHARACTERS = 253  # of a name: what a domain can have


class Result(StrEnum):
    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    POLICY = "policy"  # sound, and not acceptable here
    TEMPERROR = "temperror"  # of ours or of the DNS: another time it may be another one
    PERMERROR = "permerror"  # of the mail, or of what its domain publishes


class NoPassError(Exception):
    """Why a check does not end with pass. Its text is for people, and safe to store."""

    result: ClassVar[Result]


class FailedError(NoPassError):
    result = Result.FAIL


class NotAcceptableError(NoPassError):
    """Right as far as it goes, and not good enough for us."""

    result = Result.POLICY


class TemporaryError(NoPassError):
    result = Result.TEMPERROR


class PermanentError(NoPassError):
    """What the mail has, or its domain publishes, is wrong."""

    result = Result.PERMERROR


@dataclass(frozen=True, slots=True)
class Spf:
    """domain is the one whose record counted; scope is mfrom, or helo for a null sender. Nothing known: None."""

    result: Result
    domain: str | None = None
    scope: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Dkim:
    """One signature. aligned: its domain is that of the From field, as its DMARC record (if none, relaxed) compares."""

    result: Result
    domain: str | None = None
    selector: str | None = None
    aligned: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Dmarc:
    """domain is the From field's; policy what its record asks for where it fails; pct is reported, not applied."""

    result: Result
    policy: str | None = None
    aligned_by: tuple[str, ...] = ()
    domain: str | None = None
    pct: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Authentication:
    spf: Spf
    dkim: tuple[Dkim, ...]
    dmarc: Dmarc
    checked_at: datetime

    def stored(self) -> Json:
        return {
            "spf": asdict(self.spf),
            "dkim": [asdict(signature) for signature in self.dkim],
            "dmarc": asdict(self.dmarc) | {"aligned_by": list(self.dmarc.aligned_by)},
            "checked_at": self.checked_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }


def printable(name: str) -> str | None:
    """A name out of a mail, fit for storing: whatever it was, it is on one line and short."""
    return clean_line(name)[:MAX_SHOWN_CHARACTERS] or None
