"""Where settings come from: the environment, `NAME_FILE`, then `DATA_DIR/env`.

That file is written by the embedded default itself.
"""

import base64
import os
import re
import secrets
import stat
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import to_language
from environ.fileaware_mapping import FileAwareMapping

from emailgistics.common.crypto import KEY_BYTES

GENERATED = "env"
MAX_DURATION_DIGITS = 6
MAX_PORT = 65_535
# +tls is STARTTLS, +ssl TLS from the first octet on; consolemail prints it
MAIL_SCHEMES: tuple[str, ...] = ("smtp", "smtp+tls", "smtp+ssl", "consolemail")
_SERVER = re.compile(r"(?:\[(?P<bracketed>[^\]]*)\]|(?P<plain>[^:]*))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOSTNAME = re.compile(rf"(?:{_LABEL}\.)+(?=[a-z]){_LABEL}")  # the last one is no number: that would be an address


class _Variables(FileAwareMapping):  # type: ignore[misc]  # django-environ has no types
    """What a file holds for NAME_FILE ends with a line end, as files do; the value does not."""

    def __getitem__(self, name: str) -> str:
        try:
            value: str = super().__getitem__(name)
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE: cannot read {error.filename}: {error.strerror}.") from error
        return value.rstrip("\r\n") if self.env.get(f"{name}_FILE") else value


class Environment(environ.FileAwareEnv):  # type: ignore[misc]  # nor has this
    ENVIRON = _Variables()

    def number(self, name: str, *, default: int, at_least: int = 1, at_most: int = 2**53) -> int:
        text = str(self(name, default=str(default)))
        if not (text.isascii() and text.isdigit() and at_least <= int(text) <= at_most):
            raise ImproperlyConfigured(f"{name} is {text!r}; it is a whole number from {at_least} to {at_most}.")
        return int(text)

    def port(self, name: str, *, default: int) -> int:
        return self.number(name, default=default, at_most=MAX_PORT)

    def duration(self, name: str, *, default: str, at_most: timedelta) -> timedelta:
        """Written `90m`, `72h` or `30d`; more than nothing."""
        text = str(self(name, default=default))
        number, unit = text[:-1], {"m": "minutes", "h": "hours", "d": "days"}.get(text[-1:])
        is_number = number.isascii() and number.isdigit() and len(number) <= MAX_DURATION_DIGITS
        span = timedelta(**{unit: int(number)}) if unit and is_number else timedelta(0)
        if not timedelta(0) < span <= at_most:
            raise ImproperlyConfigured(f"{name} is {text!r}; it is like 90m, 72h or 30d, at most {at_most.days}d.")
        return span

    def networks(self, name: str, *, default: list[str]) -> list[IPv4Network | IPv6Network]:
        """CIDRs, with commas between."""
        try:
            return [ip_network(text.strip()) for text in self.list(name, default=default)]
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}: {error}. It is CIDRs such as 192.0.2.0/24, with commas.") from error

    def servers(self, name: str, *, default_port: int) -> list[tuple[str, int]]:
        """IP addresses, each with or without a port, with commas between; an IPv6 one with a port is in brackets."""
        return [self._server(name, text.strip(), default_port) for text in self.list(name, default=[])]

    def _server(self, name: str, text: str, default_port: int) -> tuple[str, int]:
        found = _SERVER.fullmatch(text)
        address: IPv4Address | IPv6Address | None
        try:
            address = ip_address((found["bracketed"] or found["plain"]) if found else text)
            port = int(found["port"]) if found and found["port"] else default_port
        except ValueError:
            address, port = None, 0
        if address is None or not 1 <= port <= MAX_PORT:
            raise ImproperlyConfigured(
                f"{name} has {text!r}; it is addresses such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353, "
                "with commas."
            )
        return str(address), port

    def hostname(self, name: str, *, default: str) -> str:
        """A full name such as mx.example.com, in lower case without the last dot, or nothing."""
        text = str(self(name, default=default)).lower().rstrip(".")
        if text and not _HOSTNAME.fullmatch(text):
            raise ImproperlyConfigured(f"{name} is {text!r}; it is a full name such as mx.example.com.")
        return text

    def language(self, name: str, *, default: str, folder: Path) -> str:
        """The code of a language as Django writes it, such as `de` or `pt-br`: the default, or one whose compiled
        catalogue is in the folder.
        """
        text = str(self(name, default=default))
        known = sorted({default, *(to_language(file.parts[-3]) for file in folder.glob("*/LC_MESSAGES/django.mo"))})
        if text not in known:
            raise ImproperlyConfigured(f"{name} is {text!r}; the languages that are here: {', '.join(known)}.")
        return text

    def zone(self, name: str, *, default: str) -> str:
        """The name of a time zone in the IANA database."""
        text = str(self(name, default=default))
        if text not in available_timezones():
            raise ImproperlyConfigured(f"{name} is {text!r}; it is a time zone such as Europe/Berlin, or UTC.")
        return text

    def url(self, name: str, *, schemes: tuple[str, ...]) -> str:
        """A URL with one of the schemes, or nothing."""
        text = str(self(name, default=""))
        if text and text.partition("://")[0] not in schemes:
            raise ImproperlyConfigured(f"{name} has to begin with {' or '.join(f'{scheme}://' for scheme in schemes)}.")
        return text


def name_in(url: str) -> str:
    """The host of a URL, if that is a full name; empty for an address, and for localhost."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    return host if _HOSTNAME.fullmatch(host) else ""


def is_embedded(env: Environment) -> bool:
    return not env("DATABASE_URL", default="")


def load(base_dir: Path) -> tuple[Environment, Path]:
    """The environment with `DATA_DIR/env` beneath it (a variable that is set wins), and DATA_DIR itself, absolute.

    With a server database the file counts for nothing: the secrets of a trial must not guard what is real.
    """
    env = Environment()
    data_dir = (base_dir / str(env("DATA_DIR", default="var"))).resolve()
    generated = data_dir / GENERATED
    if is_embedded(env) and generated.exists():
        refuse_if_shared(generated)
        env.read_env(generated, overwrite=False)
    return env, data_dir


def ensure_generated(data_dir: Path) -> None:
    """Writes fresh secrets to `DATA_DIR/env` unless the file is there. Safe when several processes start at once."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"DATA_DIR: cannot make the folder {data_dir}: {error.strerror}.") from error
    target = data_dir / GENERATED
    if target.exists():
        return
    lines = [
        "# Made by Emailgistics for the embedded default. Whoever reads this file can read every secret: keep it 0600.",
        f"SECRET_KEY={secrets.token_urlsafe(48)}",
        f"API_KEY_PEPPERS=1:{_random_key()}",
        f"ENCRYPTION_KEYS=1:{_random_key()}",
    ]
    draft = data_dir / f".{GENERATED}.{os.getpid()}.{secrets.token_hex(4)}"
    write_private(draft, "\n".join(lines) + "\n")
    try:
        # link, not rename: it fails if somebody was faster, and then their secrets are the ones that count
        target.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def generated(data_dir: Path) -> dict[str, str]:
    """What `DATA_DIR/env` says, without the environment above it."""
    lines = (data_dir / GENERATED).read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def set_generated(data_dir: Path, name: str, value: str) -> None:
    """Gives one variable of `DATA_DIR/env` a value, in place of the one it has. Whole or not at all."""
    target = data_dir / GENERATED
    lines = target.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition("=")[0].strip() != name]
    replace_private(target, "\n".join([*kept, f"{name}={value}"]) + "\n")


def replace_private(path: Path, text: str) -> None:
    """Writes path with mode 0600, over what is there, so that nobody ever reads half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        write_private(draft, text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Creates path with mode 0600 from its first moment; it must not exist."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def refuse_if_shared(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ImproperlyConfigured(
            f"{path} holds secrets and others can read it (mode {mode:04o}): run chmod 600 on it."
        )


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
