"""`apikeys scan` and `apikeys identify`: what somebody found, and whether it opens anything. Never the secret."""

import errno
import gzip
import io
import json
import os
import sys
import tracemalloc
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

from apikeys import scanning
from apikeys.credentials import new_key, new_webhook_secret
from apikeys.models import ApiKey
from apikeys.scanning import Finding, NotRead, scan
from apikeys.services import revoke_api_key
from emailgistics.common.key_form import checksum
from tests.apikeys.factories import client_of, make_expired_key, make_key

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    scanning.standing_of.cache_clear()


def found_in(path: Path) -> list[tuple[int, str, str]]:
    findings = [one for one in scan(str(path)) if isinstance(one, Finding)]
    return [(one.line, one.identifier, one.standing.value) for one in findings]


def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """(exit status, stdout, stderr)"""
    out, errors, code = StringIO(), StringIO(), 0
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)))  # type: ignore[arg-type]
    try:
        call_command("apikeys", *arguments, stdout=out, stderr=errors)
    except CommandError as error:
        code = error.returncode
        errors.write(str(error))
    except SystemExit as ended:
        code = int(str(ended.code))
    finally:
        sys.stdin = before
    return code, out.getvalue(), errors.getvalue()


def made_up(key: ApiKey) -> str:
    """With the identifier of a key and a checksum that fits."""
    text = f"{key.identifier}_{'A' * 32}"
    return text + checksum(text)


def test_each_key_is_found_with_its_standing(tmp_path: Path) -> None:
    active, revoked, expired = make_key(), make_key(), make_expired_key()
    revoke_api_key(revoked[0])
    elsewhere = new_key()
    texts = [active[1], revoked[1], expired[1], elsewhere.plaintext, made_up(active[0]), active[1][:-1] + "!"]
    (tmp_path / "env").write_text("# keys\n" + "".join(f'KEY="{text}" # one\n' for text in texts))
    assert found_in(tmp_path) == [
        (2, active[0].identifier, "active"),
        (3, revoked[0].identifier, "revoked"),
        (4, expired[0].identifier, "expired"),
        (5, elsewhere.identifier, "unknown"),
        (6, active[0].identifier, "unknown"),
    ]


@pytest.mark.parametrize(
    "write",
    [
        lambda key: f"\ufeff# ключ\n{key}\n".encode("utf-16-le"),
        lambda key: f"\ufeff# ключ\n{key}\n".encode("utf-16-be"),
        lambda key: f"# ключ\n{key}\n".encode("utf-32"),
        lambda key: f"# ключ\n{key}\n".encode("cp1251"),
        lambda key: b"\x00\xff\n\x80" + key.encode() + b"\x80",
        lambda key: gzip.compress(f"\n{key}".encode()),
        # across two chunks, and not twice where they overlap
        lambda key: b"\n" + b"x" * (scanning.CHUNK_BYTES - 30) + key.encode() + b"x" * 20,
        lambda key: b"\n" + b"x" * (scanning.CHUNK_BYTES - 100) + key.encode() + b"-" * 300,
        lambda key: b"\n" + b"\0" * (scanning.CHUNK_BYTES - 41) + key.encode("utf-16-be"),
        lambda key: f"\nemgk_aaaaaaemgk_{key}emgk_".encode(),
    ],
)
def test_whatever_the_file_is(tmp_path: Path, write: Any) -> None:
    key, plaintext = make_key()
    (tmp_path / "file").write_bytes(write(plaintext))
    assert found_in(tmp_path) == [(2, key.identifier, "active")]


def test_what_has_no_end_or_leads_in_circles_is_left_out_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    _, plaintext = make_key()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "key").write_text(plaintext)
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "key")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(plaintext.encode() + os.urandom(10_000))[:-2000])
    said = list(scan(str(tmp_path)))
    # what comes before the place where a packed file is cut off
    read = {one.path for one in said if isinstance(one, Finding)}
    assert read == {str(tmp_path / "a" / "key"), str(tmp_path / "cut.gz")}
    assert [one.path for one in said if isinstance(one, NotRead)] == [str(tmp_path / "cut.gz")]
    for path in (tmp_path / "nothing", tmp_path / "pipe"):
        assert [type(one) for one in scan(str(path))] == [NotRead]


def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so it is only said that somebody may not."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").touch()
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    scandir = os.scandir
    monkeypatch.setattr(Path, "open", mock.Mock(side_effect=denied))
    monkeypatch.setattr(
        os, "scandir", lambda path: scandir(path) if path == tmp_path else mock.Mock(side_effect=denied)()
    )
    assert list(scan(str(tmp_path))) == [
        NotRead(str(tmp_path / "secret"), "Permission denied"),
        NotRead(str(tmp_path / "folder"), "Permission denied"),
    ]


def test_memory_does_not_grow_with_what_is_read(tmp_path: Path) -> None:
    _, plaintext = make_key()
    with gzip.open(tmp_path / "bomb.gz", "wb", compresslevel=1) as packed:
        for _ in range(64):
            packed.write(bytes(scanning.CHUNK_BYTES))
        packed.write(plaintext.encode())
    tracemalloc.start()
    try:
        assert len(found_in(tmp_path)) == 1
        assert tracemalloc.get_traced_memory()[1] < 8 * scanning.CHUNK_BYTES
    finally:
        tracemalloc.stop()


def test_of_what_is_packed_there_is_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "MAX_UNPACKED_BYTES", 1000)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(5 * scanning.CHUNK_BYTES)))
    (not_read,) = scan(str(tmp_path))
    assert isinstance(not_read, NotRead)
    assert "only the first 1000 octets" in not_read.reason


def test_scan_says_where_and_its_exit_status_is_about_keys_in_force(tmp_path: Path) -> None:
    key, plaintext = make_key()
    file = tmp_path / "env"
    file.write_text(f"A=1\nKEY={plaintext}\n")
    assert run("scan", str(tmp_path)) == (1, f"{file}:2: {key.identifier} active\n1 active\n", "")
    code, out, _ = run("scan", str(tmp_path), "--json")
    assert json.loads(out) == {
        "data": [{"path": str(file), "line": 2, "id": key.identifier, "status": "active", "revoked_now": False}],
        "active": 1, "expired": 0, "revoked": 0, "unknown": 0, "not_read": 0,
    }  # fmt: skip
    assert code == 1
    assert run("scan", "-", stdin=f"x {plaintext}".encode())[:2] == (1, f"-:1: {key.identifier} active\n1 active\n")
    assert run("scan", str(tmp_path / "nothing"))[0] == 1
    file.write_text(f"{new_key().plaintext}\n")
    assert run("scan", str(tmp_path))[0] == 0
    assert plaintext[16:] not in out


def test_scan_ends_what_it_finds(tmp_path: Path) -> None:
    key, plaintext = make_key()
    (tmp_path / "env").write_text(f"{plaintext}\n{plaintext}\n{made_up(make_key()[0])}\n")
    code, out, errors = run("scan", str(tmp_path), "--revoke")
    assert (code, errors) == (0, "")
    assert out.endswith("\n1 active, 1 revoked, 1 unknown; 1 revoked now, and none stays in force\n")
    assert f"{key.identifier} active, revoked now\n" in out
    assert f"env:2: {key.identifier} revoked\n" in out
    key.refresh_from_db()
    assert key.revoke_reason == f"found by a scan in {tmp_path / 'env'}:1"
    assert client_of(plaintext).get("/v1/me").json()["code"] == "key_revoked"
    assert ApiKey.objects.in_force().count() == 1  # whose secret nobody had
    code, out, _ = run("scan", str(tmp_path), "--revoke")
    assert (code, out.splitlines()[-1]) == (0, "2 revoked, 1 unknown")
    assert run("scan", str(tmp_path / "nothing"), "--revoke")[0] == 1  # who knows what is there


@pytest.mark.parametrize(
    ("change", "kind", "status"),
    [
        (lambda key: key, "api_key", "active"),
        (lambda key: f"Authorization: Bearer {key}\n", "api_key", "active"),
        (lambda key: key[:15], "identifier", "active"),
        (lambda key: key[:-1], "malformed_key", "active"),
        (lambda key: key[:20] + "ö" + key[21:], "malformed_key", "active"),
        (lambda key: key[:20] + ("a" if key[20] != "a" else "b") + key[21:], "malformed_key", "active"),
        (lambda key: new_key().plaintext, "api_key", "unknown"),
        (lambda key: key[:16] + made_up(ApiKey.objects.get())[16:], "api_key", "unknown"),
        (lambda key: new_webhook_secret(), "webhook_secret", None),
        (lambda key: "whsec_short", "other", None),
        (lambda key: "correct horse", "other", None),
    ],
)
def test_identify_says_what_a_text_is_and_repeats_no_secret(change: Any, kind: str, status: str | None) -> None:
    _, plaintext = make_key(name="Billing")
    text = change(plaintext)
    code, out, errors = run("identify", "-", "--json", stdin=text.encode())
    said = json.loads(out)
    assert (said["kind"], said["status"]) == (kind, status)
    assert code == (0 if kind in ("api_key", "identifier") and status == "active" else 1)
    assert (said["name"] == "Billing") == (status == "active")
    secret = text.strip().removeprefix("whsec_")[16:]
    assert not secret or secret not in out + errors
    assert (code, said["kind"]) == (run("identify", text)[0], kind)
    _, out, errors = run("identify", text)
    assert not secret or secret not in out
    assert errors == ""  # nothing beside what it says of the text


def test_identify_says_where_the_mistake_is() -> None:
    key, plaintext = make_key()
    for text, mistake in (
        (plaintext[:-2], "has 54 characters, and this has 52"),
        (plaintext[:20] + "-" + plaintext[21:], "its character 21 is not one of 0-9, A-Z and a-z"),
        (plaintext[:15] + "-" + plaintext[16:], "its character 16 is not _"),
        (plaintext[:-1] + ("a" if plaintext[-1] != "a" else "b"), "its checksum does not fit"),
    ):
        assert mistake in run("identify", text)[1]
    assert "has another secret" in run("identify", made_up(key))[1]
