"""SPF (RFC 7208): may this client send for that domain? Without explanations (`exp`), which nobody here reads."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeVar

from mailboxes.authentication.dns import MAX_NAME_OCTETS, Address, Lookups, is_name
from mailboxes.authentication.names import NotANameError, a_labels, is_under
from mailboxes.authentication.results import NoPassError, PermanentError, Result, Spf, TemporaryError, printable

Found = TypeVar("Found")

MAX_RECORD_OCTETS = 16 << 10  # section 3.4 would like 450
# section 4.6.4
MAX_LOOKUPS = 10
MAX_VOID_LOOKUPS = 2
MAX_HOSTS = 10  # of one mx or ptr

MFROM, HELO = "mfrom", "helo"
_RESULTS = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}

_REASONS = {
    Result.NONE: "the domain publishes no SPF record",
    Result.NEUTRAL: "the domain says nothing of this client",
    Result.SOFTFAIL: "the client should not send for the domain",
    Result.FAIL: "the client may not send for the domain",
}

# section 7.1; the letters c, r and t are for the text of an explanation, not for the name it is at (7.2), and of a
# modifier that nobody knows only the form counts, which has them (12)
_MACROS, _UNKNOWN_MACROS = (
    re.compile(rf"%\{{[{letters}][0-9]{{0,9}}[rR]?[-.+,/_=]*\}}|%%|%_|%-|[!-$&-~]")
    for letters in ("slodiphvSLODIPHV", "slodiphvcrtSLODIPHVCRT")
)
_MACRO_PARTS = re.compile(r"%\{([a-zA-Z])([0-9]{0,9})([rR]?)([-.+,/_=]*)\}")
_LABEL = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")
_TERM = re.compile(r"([-+~?]?)([a-zA-Z][-a-zA-Z0-9_.]*)([:/=]?)(.*)", re.DOTALL)
_CIDR = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_UNESCAPED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_VERSION = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)
_MECHANISMS = frozenset({"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"})


@dataclass(frozen=True, slots=True)
class Mechanism:
    """spec is a domain-spec, or empty; network is of ip4 and ip6, the prefixes of a and mx."""

    result: Result
    name: str
    spec: str = ""
    network: str = ""
    prefixes: tuple[int, int] = (32, 128)


@dataclass(frozen=True, slots=True)
class Record:
    mechanisms: tuple[Mechanism, ...]
    redirect: str = ""


def check(*, client: Address, mail_from: str, helo: str, lookups: Lookups) -> Spf:
    """mail_from is empty for the null sender: then the name in HELO answers for it (section 2.4)."""
    scope = MFROM if mail_from else HELO
    sender = mail_from or f"postmaster@{helo}"
    local, _, name = sender.rpartition("@")
    try:
        domain = a_labels(name)
    except NotANameError:
        return Spf(Result.NONE, printable(name), scope, "not a domain name")
    asked = _Check(_plain(client), f"{local or 'postmaster'}@{domain}", helo, lookups)
    try:
        result = asked.host(domain)
        reason = _REASONS.get(result)
    except NoPassError as error:
        result, reason = error.result, str(error)
    return Spf(result, domain, scope, reason)


@dataclass
class _Check:
    """One check_host() with all that it asks in turn."""

    client: Address
    sender: str
    helo: str
    lookups: Lookups
    count: int = 0
    voids: int = 0
    names: list[str] | None = None  # of the client, once they are known

    def host(self, domain: str) -> Result:
        found = [text for text in self.lookups.txt(domain) if _VERSION.match(text)]
        if not found:
            return Result.NONE
        if len(found) > 1:
            raise PermanentError(f"{domain} publishes several SPF records")
        record = parse(found[0])
        for mechanism in record.mechanisms:
            if self._matches(mechanism, domain):
                return mechanism.result
        if not record.redirect:
            return Result.NEUTRAL
        self._count()
        target = self._expand(record.redirect, domain)
        result = self.host(target) if is_name(target) else Result.NONE
        if result == Result.NONE:
            raise PermanentError(f"{domain} redirects to a domain without an SPF record")
        return result

    def _matches(self, mechanism: Mechanism, domain: str) -> bool:
        if mechanism.name in ("ip4", "ip6"):
            return self._is_in([mechanism.network])
        if mechanism.name == "all":
            return True
        self._count()
        target = self._expand(mechanism.spec, domain) if mechanism.spec else domain
        return {
            "include": self._includes,
            "a": self._has_address,
            "mx": self._has_exchanger,
            "ptr": self._is_named,
            "exists": self._exists,
        }[mechanism.name](target, mechanism, domain)

    def _exists(self, target: str, *_: object) -> bool:
        return bool(self._unless_void(self.lookups.addresses(target, version=4)))

    def _is_named(self, target: str, *_: object) -> bool:
        return any(is_under(name, target.lower()) for name in self._validated_names())

    def _has_exchanger(self, target: str, mechanism: Mechanism, domain: str) -> bool:
        hosts = self._unless_void(self.lookups.exchangers(target))
        if len(hosts) > MAX_HOSTS:
            raise PermanentError(f"{target} has more than {MAX_HOSTS} MX records")
        return any(self._has_address(host, mechanism, domain) for host in hosts)

    def _includes(self, target: str, _mechanism: Mechanism, domain: str) -> bool:
        result = self.host(target) if is_name(target) else Result.NONE
        if result == Result.NONE:
            raise PermanentError(f"{domain} includes a domain without an SPF record")
        return result == Result.PASS

    def _has_address(self, host: str, mechanism: Mechanism, _domain: str) -> bool:
        prefix = mechanism.prefixes[self.client.version == 6]  # noqa: PLR2004
        found = self._unless_void(self.lookups.addresses(host, version=self.client.version))
        return self._is_in(f"{address}/{prefix}" for address in found)

    def _is_in(self, networks: Iterable[str]) -> bool:
        return any(self.client in ip_network(network, strict=False) for network in networks)

    def _validated_names(self) -> list[str]:
        """Names of the client that lead back to it (section 5.5). A fault of the DNS makes them fewer."""
        if self.names is not None:
            return self.names
        self.names = []
        try:
            names = self._unless_void(self.lookups.names(self.client))
        except TemporaryError:
            names = []
        for name in names[:MAX_HOSTS]:
            try:
                if self.client in self.lookups.addresses(name, version=self.client.version):
                    self.names.append(name.lower())
            except TemporaryError:
                continue
        return self.names

    def _count(self) -> None:
        self.count += 1
        if self.count > MAX_LOOKUPS:
            raise PermanentError(f"more than {MAX_LOOKUPS} lookups")

    def _unless_void(self, found: list[Found]) -> list[Found]:
        """What was found; that it is nothing may happen twice."""
        if not found:
            self.voids += 1
            if self.voids > MAX_VOID_LOOKUPS:
                raise PermanentError(f"more than {MAX_VOID_LOOKUPS} lookups found nothing")
        return found

    # --- macros, section 7

    def _expand(self, spec: str, domain: str) -> str:
        name = "".join(self._expanded(symbol, domain) for symbol in _MACROS.findall(spec)).removesuffix(".")
        octets = name.encode(errors="replace")
        if len(octets) > MAX_NAME_OCTETS:  # section 7.3: without as many labels on its left as it takes
            name = octets[-MAX_NAME_OCTETS - 1 :].partition(b".")[2].decode(errors="replace")
        return name

    def _expanded(self, symbol: str, domain: str) -> str:
        found = _MACRO_PARTS.match(symbol)
        if found is None:
            return {"%%": "%", "%_": " ", "%-": "%20"}.get(symbol, symbol)
        letter, digits, reverse, delimiters = found.groups()
        parts = re.split(f"[{re.escape(delimiters or '.')}]", self._value(letter.lower(), domain))
        if reverse:
            parts.reverse()
        value = ".".join(parts[-int(digits) :] if digits else parts)
        return value if letter.islower() else _escaped(value)

    def _value(self, letter: str, domain: str) -> str:
        if letter == "p":
            return self._name_of_client(domain)
        local, _, sender_domain = self.sender.rpartition("@")
        return {
            "s": self.sender,
            "l": local,
            "o": sender_domain,
            "d": domain,
            "i": _dotted(self.client),
            "v": "in-addr" if self.client.version == 4 else "ip6",  # noqa: PLR2004
            "h": self.helo,
        }[letter]

    def _name_of_client(self, domain: str) -> str:
        """Of its names the domain itself, or one under it, or any."""
        names = self._validated_names()
        under = [name for name in names if is_under(name, domain)]
        return domain if domain in names else next(iter(under or names), "unknown")


# --- records, section 4.6 and 12


def parse(octets: bytes) -> Record:
    """Raises PermanentError for whatever the grammar does not have, wherever it stands."""
    if len(octets) > MAX_RECORD_OCTETS:
        raise PermanentError("the SPF record is too long")
    try:
        text = octets.decode("ascii")
    except UnicodeDecodeError:
        raise PermanentError("the SPF record has octets that are not ASCII") from None
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    for term in text[len("v=spf1") :].split(" "):
        if not term:
            continue
        found = _TERM.fullmatch(term)
        if found is None:
            raise PermanentError(_unknown(term))
        qualifier, name, separator, rest = found.groups()
        if separator == "=":
            _add_modifier(modifiers, term, name.lower(), rest, qualifier)
        else:
            mechanisms.append(_mechanism(term, qualifier, name.lower(), separator, rest))
    return Record(tuple(mechanisms), modifiers.get("redirect", ""))


def _add_modifier(modifiers: dict[str, str], term: str, name: str, value: str, qualifier: str) -> None:
    if qualifier or not _is_macro_string(value, _UNKNOWN_MACROS):
        raise PermanentError(_unknown(term))
    if name in ("redirect", "exp"):
        if name in modifiers:
            raise PermanentError(f"the SPF record has {name} twice")
        modifiers[name] = _domain_spec(value, term)


def _mechanism(term: str, qualifier: str, name: str, separator: str, rest: str) -> Mechanism:
    if name not in _MECHANISMS:
        raise PermanentError(_unknown(term))
    result = _RESULTS[qualifier or "+"]
    if name == "all":
        if separator:
            raise PermanentError(_unknown(term))
        return Mechanism(result, name)
    if name in ("ip4", "ip6"):
        return Mechanism(result, name, network=_network(name, rest if separator == ":" else "", term))
    spec, prefixes = rest if separator == ":" else "", (32, 128)
    if name in ("a", "mx"):
        whole = f"{separator}{rest}" if separator == "/" else rest
        cidr = _CIDR.search(whole)
        if cidr is None:
            raise PermanentError(_unknown(term))
        prefixes = int(cidr[1] or 32), int(cidr[2] or 128)
        spec = whole[: cidr.start()]
        if prefixes[0] > 32 or prefixes[1] > 128 or (separator == "/" and spec):  # noqa: PLR2004
            raise PermanentError(_unknown(term))
    elif separator == "/":
        raise PermanentError(_unknown(term))
    if separator == ":" or name in ("include", "exists"):
        spec = _domain_spec(spec, term)
    return Mechanism(result, name, spec, prefixes=prefixes)


def _network(name: str, text: str, term: str) -> str:
    address, slash, prefix = text.partition("/")
    try:
        parsed = ip_address(address)
        is_right = parsed.version == int(name[2]) and "%" not in address
        if slash:
            is_right &= prefix.isdigit() and prefix == str(int(prefix)) and int(prefix) <= parsed.max_prefixlen
    except ValueError:
        is_right = False
    if not is_right:
        raise PermanentError(_unknown(term))
    return text


def _is_macro_string(text: str, macros: re.Pattern[str]) -> bool:
    return "".join(macros.findall(text)) == text and all(
        int(found[2]) for found in _MACRO_PARTS.finditer(text) if found[2]
    )


def _domain_spec(text: str, term: str) -> str:
    symbols = _MACROS.findall(text)
    _, dot, label = text.removesuffix(".").rpartition(".")
    is_toplabel = dot and _LABEL.fullmatch(label) and not label.isdigit()
    ends_with_macro = bool(symbols) and symbols[-1].startswith("%{")
    if not (_is_macro_string(text, _MACROS) and (ends_with_macro or is_toplabel)):
        raise PermanentError(_unknown(term))
    return text


def _unknown(term: str) -> str:
    return f"the SPF record has {printable(term[:100])!r}"


# --- names and addresses


def _plain(client: Address) -> Address:
    """IPv4 where it is that in IPv6's clothes (section 5)."""
    return (client.ipv4_mapped or client) if isinstance(client, IPv6Address) else client


def _dotted(client: Address) -> str:
    return str(client) if isinstance(client, IPv4Address) else ".".join(client.exploded.replace(":", ""))


def _escaped(value: str) -> str:
    return "".join(
        character if character in _UNESCAPED else "".join(f"%{octet:02X}" for octet in character.encode())
        for character in value
    )
