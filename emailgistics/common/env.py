"""Where settings come from: the environment, `NAME_FILE`, then `DATA_DIR/env`, which the embedded default writes itself."""

import base64
import os
import secrets
import stat
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from emailgistics.common.crypto import KEY_BYTES

GENERATED = "env"


def load(base_dir: Path) -> tuple[environ.FileAwareEnv, Path]:
    """The environment with `DATA_DIR/env` beneath it (a variable that is set wins), and DATA_DIR itself, absolute."""
    env = environ.FileAwareEnv()
    data_dir = (base_dir / str(env("DATA_DIR", default="var"))).resolve()
    generated = data_dir / GENERATED
    if generated.exists():
        refuse_if_shared(generated)
        env.read_env(generated, overwrite=False)
    return env, data_dir


def ensure_generated(data_dir: Path) -> None:
    """Writes fresh secrets to `DATA_DIR/env` unless the file is there. Safe when several processes start at once."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
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


def append_generated(data_dir: Path, name: str, value: str) -> None:
    """Adds one variable to `DATA_DIR/env`."""
    with (data_dir / GENERATED).open("a", encoding="utf-8") as file:
        file.write(f"{name}={value}\n")


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
        raise ImproperlyConfigured(f"{path} holds secrets and others can read it (mode {mode:04o}): run chmod 600 on it.")


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
