"""What a domain is to have in its DNS so that its mail comes here, and what it has there.

Three records: MX leads mail here, TXT says whose the domain is, and SPF says who sends mail as the domain, which is not
for this installation to know: what there is of it is looked at, and nothing of it is required.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache.backends.locmem import LocMemCache
from django.db.models import TextChoices
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import (
    gettext_lazy,
    gettext_noop,  # in English; the console translates it
)

from emailgistics.common.errors import UnavailableError
from mailboxes.models import Domain

if TYPE_CHECKING:
    from dns.resolver import Resolver

WITHIN_S = 5.0  # for all questions and all servers together
KEPT_S = 30  # what was found is the answer for so long, whoever asks: no key makes us ask more often than that
MAX_SHOWN, MAX_SHOWN_LENGTH = 10, 500  # of what somebody else has put there
MAX_AT_ONCE = 4  # requests that look, or wait for one that does: a DNS that is silent does not hold all threads

LABEL = "_emailgistics"
WORD = "emailgistics-verification="
DIGITS = 32  # hexadecimal, so 128 bits
PREFERENCE = 10  # of our host among mail exchangers; any other does as well
SPF = "v=spf1"
NO_SENDERS = f"{SPF} -all"
NULL_MX = "."  # the exchanger of a domain that takes no mail (RFC 7505)

_free = threading.BoundedSemaphore(MAX_AT_ONCE)
# by domain, so that one is asked for once, and whoever came meanwhile takes that answer; as many as are asked at once
_looking: dict[str, threading.Lock] = {}
_looking_guard = threading.Lock()

# what this process has found, by domain; full, it forgets what nobody has asked for longest
_kept = LocMemCache(__name__, {"TIMEOUT": KEPT_S, "OPTIONS": {"MAX_ENTRIES": 1000}})


class DnsBusyError(UnavailableError):
    """As many are looking as may."""

    code = "dns_busy"


class State(TextChoices):
    OK = "ok", gettext_lazy("Ok")
    MISSING = "missing", gettext_lazy("Missing")
    WRONG = "wrong", gettext_lazy("Wrong")
    UNKNOWN = "unknown", gettext_lazy("Unknown")  # the DNS does not answer


@dataclass(frozen=True, slots=True)
class Record:
    """required or recommended is what its owner is to put into the DNS; at most one of the two is given."""

    type: str
    name: str
    state: State
    detail: str
    found: tuple[str, ...] = ()
    required: str | None = None
    recommended: str | None = None

    @property
    def line(self) -> str | None:
        """As in a zone file."""
        value = self.required or self.recommended
        if value is None:
            return None
        return f"{self.name}. IN {self.type} " + (f'"{value}"' if self.type == "TXT" else f"{value}.")


@dataclass(frozen=True, slots=True)
class Records:
    checked_at: datetime
    mx: Record
    spf: Record
    txt: Record

    @property
    def state(self) -> State:
        """The worst of those that are required. That nobody can say where mail goes is never as good as ok."""
        states = {record.state for record in (self.mx, self.spf, self.txt) if record.required is not None}
        if self.mx.state == State.UNKNOWN:
            states.add(self.mx.state)
        return next((state for state in (State.WRONG, State.MISSING, State.UNKNOWN) if state in states), State.OK)


@dataclass(frozen=True, slots=True)
class _Found:
    """What stands in the DNS. None: it does not answer."""

    at: datetime
    asked_at: float  # of time.monotonic; 0 where it does not matter
    mx: tuple[tuple[int, str], ...] | None
    own_texts: tuple[str, ...] | None
    word: tuple[str, ...] | None


def records_of(domain: Domain, *, max_age_s: float = KEPT_S) -> Records:
    """What there is now, or was at most so long ago. Not within a transaction: it may take WITHIN_S.

    It is noted with the domain, which then shows it. Raises DnsBusyError.
    """
    oldest = time.monotonic() - max_age_s
    found = _kept_since(domain, oldest)
    if found is None:
        with _turn(domain):
            # somebody may have looked while this one waited
            found = _kept_since(domain, oldest)
            if found is None:
                found = _look_at(domain.name)
                _kept.set(domain.pk.hex, found)
    records = _judged(domain, found)
    _note(domain, found, records)
    return records


def last_records_of(domain: Domain) -> Records | None:
    """What was found when somebody last looked, as it is judged now; nothing is asked. None: nobody looked yet."""
    if domain.dns_checked_at is None or domain.dns_found is None:
        return None
    return _judged(domain, _as_noted(domain.dns_found, domain.dns_checked_at))


def needed_by(domain: Domain) -> Records:
    """What it is to have, while nobody has looked."""
    return _judged(domain, _Found(timezone.now(), 0, None, None, None))


def _judged(domain: Domain, found: _Found) -> Records:
    return Records(found.at, _mx(domain, found.mx), _spf(domain, found.own_texts), _txt(domain, found.word))


def _kept_since(domain: Domain, oldest: float) -> _Found | None:
    found: _Found | None = _kept.get(domain.pk.hex)
    return found if found is not None and found.asked_at >= oldest else None


@contextmanager
def _turn(domain: Domain) -> Iterator[None]:
    """One at a time for a domain, MAX_AT_ONCE in all. Raises DnsBusyError rather than have more threads wait."""
    if not _free.acquire(blocking=False):
        raise DnsBusyError(
            f"The DNS of {MAX_AT_ONCE} domains is being looked at already. Try again in {WITHIN_S:.0f} seconds."
        )
    try:
        with _looking_guard:
            if len(_looking) > MAX_AT_ONCE:  # no more are in use; the others are left from before
                for name in [name for name, lock in _looking.items() if not lock.locked()]:
                    del _looking[name]
            lock = _looking.setdefault(domain.pk.hex, threading.Lock())
        if not lock.acquire(timeout=WITHIN_S + 1):
            raise DnsBusyError(f"The DNS of {domain} is being looked at already. Try again in a few seconds.")
        try:
            yield
        finally:
            lock.release()
    finally:
        _free.release()


def word_of(domain: Domain) -> str:
    """What its owner has to put into its DNS; of no use to another installation, nor to be guessed from another one."""
    digest = salted_hmac("mailboxes.verification", domain.name, algorithm="sha256").hexdigest()
    return f"{WORD}{digest[:DIGITS]}"


def forget() -> None:
    _kept.clear()


def _note(domain: Domain, found: _Found, records: Records) -> None:
    state = records.state
    if (domain.dns_status, domain.dns_checked_at) == (state, records.checked_at):
        return
    noted: dict[str, Any] = {
        "mx": None if found.mx is None else _to_keep(sorted(found.mx)),
        "own_texts": None if found.own_texts is None else _to_keep(_senders(found.own_texts)),
        "word": None if found.word is None else _to_keep(_ours_first(domain, found.word)),
    }
    Domain.objects.live().filter(pk=domain.pk).update(
        dns_status=state, dns_checked_at=records.checked_at, dns_found=noted
    )
    domain.dns_status, domain.dns_checked_at = Domain.DnsStatus(state), records.checked_at
    domain.dns_found = noted


def _as_noted(noted: Mapping[str, Any], at: datetime) -> _Found:
    mx, own_texts, word = (noted[name] for name in ("mx", "own_texts", "word"))
    return _Found(
        at,
        0,
        None if mx is None else tuple((preference, host) for preference, host in mx),
        None if own_texts is None else tuple(own_texts),
        None if word is None else tuple(word),
    )


def _to_keep(found: Iterable[Any]) -> list[Any]:
    return [one[:MAX_SHOWN_LENGTH] if isinstance(one, str) else one for one in list(found)[:MAX_SHOWN]]


def _mx(domain: Domain, found: tuple[tuple[int, str], ...] | None) -> Record:
    ours = settings.MX_HOSTNAME
    required = f"{PREFERENCE} {ours}" if ours and not domain.is_test else None
    shown = () if found is None else _shown(f"{preference} {host}" for preference, host in sorted(found))
    best = {host for preference, host in found or () if preference == min(found or ())[0]}
    if found is None:
        state, detail = State.UNKNOWN, gettext_noop("The DNS does not answer.")
    elif domain.is_test:
        state, detail = (
            State.OK,
            gettext_noop("Nothing is needed: the domain is for tests, and takes no mail from elsewhere."),
        )
    elif not ours:
        state, detail = (
            State.UNKNOWN,
            gettext_noop("The operator has not said what this host is called outside: MX_HOSTNAME."),
        )
    elif ours in best:
        state, detail = State.OK, gettext_noop("Mail to the domain comes here.")
    elif not found:
        state, detail = State.MISSING, gettext_noop("No MX record leads mail here.")
    elif NULL_MX in best:
        state, detail = State.WRONG, gettext_noop("The domain says that it takes no mail (RFC 7505).")
    else:
        state, detail = (
            State.WRONG,
            f"Mail goes to {', '.join(sorted(best)[:3])} first; right only if that sends it on.",
        )
    return Record("MX", domain.name, state, detail, shown, required=required)


def _spf(domain: Domain, texts: tuple[str, ...] | None) -> Record:
    found = _senders(texts or ())
    recommended = None
    if texts is None:
        state, detail = State.UNKNOWN, gettext_noop("The DNS does not answer.")
    elif not found:
        state, detail = (
            State.MISSING,
            gettext_noop("Taking mail needs none. This says that nothing sends mail as the domain; name what does."),
        )
        recommended = NO_SENDERS
    elif len(found) > 1:
        state, detail = (
            State.WRONG,
            gettext_noop("There is more than one, which counts as none (RFC 7208 section 4.5): keep one."),
        )
    else:
        state, detail = State.OK, gettext_noop("It says who sends mail as this domain; this installation does not.")
    return Record("TXT", domain.name, state, detail, _shown(found), recommended=recommended)


def _txt(domain: Domain, found: tuple[str, ...] | None) -> Record:
    word = word_of(domain)
    is_required = settings.REQUIRE_DOMAIN_VERIFICATION and not domain.is_test and domain.verified_at is None
    if found is None:
        state, detail = State.UNKNOWN, gettext_noop("The DNS does not answer.")
    elif word in found:
        state, detail = State.OK, gettext_noop("It says that the domain is yours; once that is verified it may go.")
    elif domain.verified_at is not None:
        state, detail = State.OK, gettext_noop("The domain is verified; the record is not needed any more.")
    elif not found:
        state, detail = State.MISSING, gettext_noop("It says that the domain is yours.")
    else:
        state, detail = State.WRONG, gettext_noop("There is another text than this one.")
    return Record(
        "TXT",
        f"{LABEL}.{domain.name}",
        state,
        detail,
        _shown(_ours_first(domain, found or ())),
        required=word if is_required else None,
        recommended=None if is_required else word,
    )


def _senders(texts: Iterable[str]) -> list[str]:
    """SPF of all texts. Sorted: a server answers them in any order."""
    return [text for text in sorted(texts) if text.lower() == SPF or text.lower().startswith(f"{SPF} ")]


def _ours_first(domain: Domain, texts: Iterable[str]) -> list[str]:
    word = word_of(domain)
    return sorted(texts, key=lambda text: (text != word, text))  # however many there are


def _shown(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text[:MAX_SHOWN_LENGTH] for text in list(texts)[:MAX_SHOWN])


def _look_at(name: str) -> _Found:
    """All questions at once, so that one that is not answered takes no other's time."""
    at, asked_at = timezone.now(), time.monotonic()
    until = asked_at + WITHIN_S
    with ThreadPoolExecutor(max_workers=3, thread_name_prefix="dns") as pool:
        mx = pool.submit(_exchangers, name, until)
        own, word = pool.submit(_texts, name, until), pool.submit(_texts, f"{LABEL}.{name}", until)
    return _Found(at, asked_at, mx.result(), own.result(), word.result())


def _exchangers(name: str, until: float) -> tuple[tuple[int, str], ...] | None:
    answer = _ask(name, "MX", until)
    if answer is None:
        return None
    return tuple((record.preference, record.exchange.to_text(omit_final_dot=True).lower()) for record in answer)


def _texts(name: str, until: float) -> tuple[str, ...] | None:
    """The strings of each record joined, without NUL, which PostgreSQL does not take."""
    answer = _ask(name, "TXT", until)
    if answer is None:
        return None
    texts = (b"".join(record.strings).decode("ascii", errors="replace") for record in answer)
    return tuple(text.replace("\0", "\N{REPLACEMENT CHARACTER}") for text in texts)


def _ask(name: str, kind: str, until: float) -> list[Any] | None:
    """None: no answer in time, or none that says anything."""
    import dns.exception  # noqa: PLC0415 - a fifth of a second, for processes that hardly ever ask
    import dns.resolver  # noqa: PLC0415

    with suppress(dns.exception.DNSException, OSError):
        try:
            return list(_resolver().resolve(f"{name}.", kind, lifetime=max(0.0, until - time.monotonic())))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
    return None


def _resolver() -> "Resolver":
    import dns.nameserver  # noqa: PLC0415
    import dns.resolver  # noqa: PLC0415

    servers = settings.DNS_SERVERS
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
    return resolver
