"""The files that an installation is deployed with name what there is, and the proxies' do what they say."""

import contextlib
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fleet import procfile
from tests.installation import Installation, answers, free_ports, wait_for
from tests.shell import ROOT

pytestmark = pytest.mark.on_sqlite

DEPLOY = ROOT / "docs/deploy"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PARTS = tuple(procfile())


# --- the same processes everywhere


@pytest.mark.parametrize("part", PARTS)
def test_compose_runs_each_part_as_procfile_does_and_asks_for_its_health(part: str) -> None:
    service = COMPOSE["services"][part]
    assert service["command"].split() == ["python", *procfile()[part]]
    assert service["healthcheck"]["test"] == ["CMD", "python", "manage.py", "health", "--role", part]


@pytest.mark.parametrize("part", PARTS)
def test_systemd_runs_each_part_as_procfile_does(part: str) -> None:
    (unit,) = [path for path in UNITS if path.stem.rstrip("@") == f"emailgistics-{part}"]
    (command,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    program, *arguments = command.split()
    assert program == "/opt/emailgistics/.venv/bin/python"
    # systemd has its own names for a host and an instance
    assert [re.sub(r"(-%i)?@%H", "@%h", one) for one in arguments] == procfile()[part]


def test_there_is_nothing_beside_the_parts() -> None:
    assert {path.stem.rstrip("@") for path in UNITS} == {f"emailgistics-{part}" for part in PARTS}
    assert COMPOSE["services"].keys() == {*PARTS, "migrate", "postgres", "redis", "proxy"}


def test_the_target_starts_one_of_each_part() -> None:
    target = (DEPLOY / "systemd/emailgistics.target").read_text()
    wanted = re.findall(r"emailgistics-(\w+)(?:@\w+)?\.service", target)
    assert sorted(wanted) == sorted(PARTS)


# --- what they name exists


def test_compose_sets_only_variables_that_there_are() -> None:
    known = (ROOT / "emailgistics/settings.py").read_text()
    for name in COMPOSE["x-app"]["environment"]:
        assert f'"{name.removesuffix("_FILE")}"' in known, name


def test_empty_variables_of_compose_are_as_none(tmp_path: Path) -> None:
    given = COMPOSE["x-app"]["environment"]
    empty = {name: "" for name, value in given.items() if re.fullmatch(r"\$\{\w+:-\}", str(value))}
    assert len(empty) > 3
    env = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), **empty}
    done = subprocess.run([sys.executable, "manage.py", "check"], cwd=ROOT, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_secret_of_compose_is_made_and_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    for _ in range(2):  # the second time it keeps what is there
        subprocess.run([DEPLOY / "bin/secrets", folder], check=True, capture_output=True)
        made = {path.name: path.read_text() for path in folder.iterdir()}
    assert {f"./secrets/{name}" for name in made} == {entry["file"] for entry in COMPOSE["secrets"].values()}
    assert folder.stat().st_mode & 0o077 == 0
    assert made["postgres_password"] in made["database_url"]
    files = {name: str(folder / Path(value).name) for name, value in COMPOSE["x-app"]["environment"].items()
             if name.endswith("_FILE")}  # fmt: skip
    env = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "BASE_URL": "https://mail.example.com", **files}
    env["REDIS_URL"] = COMPOSE["x-app"]["environment"]["REDIS_URL"]
    checked = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(checked, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again = subprocess.run([DEPLOY / "bin/secrets", folder], check=True, capture_output=True, text=True)
    assert "made" not in again.stdout


def test_the_image_has_all_that_is_imported_and_nothing_of_the_tests() -> None:
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    copied = {name for line in copied for name in line.split()}
    kept = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert copied == kept
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages <= copied


def test_the_units_are_such_as_systemd_reads_without_a_complaint(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    for path in (DEPLOY / "systemd").iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    for unit in tmp_path.glob("*.service"):  # what they start is not installed here
        unit.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    (tmp_path / "emailgistics-.service.d/env.conf").write_text("[Service]\nEnvironmentFile=\n")
    units = [str(path).replace("@.", "@1.") for path in tmp_path.iterdir() if path.is_file()]
    done = subprocess.run(
        [verify, "verify", "--man=no", *units],
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "emailgistics" in line] == []


def test_more_of_a_part_can_be_enabled(tmp_path: Path) -> None:
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        pytest.skip("systemctl is not installed")
    shutil.copytree(DEPLOY / "systemd", tmp_path / "etc/systemd/system")
    units = [f"emailgistics-{one}" for one in ("worker@2", "dispatcher@2", "web@8001", "smtp", "beat")]
    done = subprocess.run(
        [systemctl, f"--root={tmp_path}", "enable", *units], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    wanted = {path.stem for path in (tmp_path / "etc/systemd/system/emailgistics.target.wants").iterdir()}
    assert wanted == set(units)


def test_a_command_by_hand_has_the_values_that_systemd_reads(tmp_path: Path) -> None:
    given = {
        "DATABASE_URL": "postgresql://u:p$$w`id`;x@db/e?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
        "MX_HOSTNAME": "mx.example.com",
        "DEFAULT_FROM_EMAIL": "Post <post@example.com>",
    }
    lines = ["# a comment", "; another", "", *(f"{name}={value}" for name, value in given.items())]
    lines[-1] = 'DEFAULT_FROM_EMAIL="Post <post@example.com>"'
    (tmp_path / "env").write_text("\n".join(lines))
    script = (DEPLOY / "bin/emailgistics").read_text().replace("/etc/emailgistics/env", str(tmp_path / "env"))
    script = re.sub(r"^\[ .*sudo.*$", "", script, flags=re.MULTILINE)  # as root, and up to the command itself
    script = re.sub(r"^cd /opt.*", "exec env -0", script, flags=re.MULTILINE | re.DOTALL)
    done = subprocess.run(["/bin/sh", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, check=True)
    found = dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if entry)
    assert {name: found.get(name) for name in given} == given
    assert found["DATA_DIR"] == "/var/lib/emailgistics"


# --- the proxies


Proxy = Callable[[Path, int, int], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def nginx(folder: Path, port: int, web: int) -> Iterator[None]:
    """The site as it is, but for ports and places."""
    (plain,) = free_ports(1)
    site = (DEPLOY / "nginx.conf").read_text()
    for ours, here in (
        ("127.0.0.1:8000", f"127.0.0.1:{web}"),
        ("/etc/ssl/emailgistics/fullchain.pem", str(folder / "cert.pem")),
        ("/etc/ssl/emailgistics/key.pem", str(folder / "key.pem")),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("listen 80", f"listen 127.0.0.1:{plain}"),
    ):
        assert ours in site
        site = site.replace(ours, here)
    site = re.sub(r"^ *listen \[::\].*\n", "", site, flags=re.MULTILINE)
    paths = "".join(
        f"{what}_temp_path {folder}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {paths}\n{site}\n}}"
    )
    with running(["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)], port, folder):
        yield


@contextlib.contextmanager
def caddy(folder: Path, port: int, web: int) -> Iterator[None]:
    """The site as it is; it makes a certificate of its own for this host."""
    (plain,) = free_ports(1)
    file = folder / "Caddyfile"
    options = f"{{\n\tadmin off\n\thttp_port {plain}\n\thttps_port {port}\n\tskip_install_trust\n}}\n"
    file.write_text(options + (DEPLOY / "Caddyfile").read_text())
    variables = {"SITE": "localhost", "WEB": f"127.0.0.1:{web}", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with running(["caddy", "run", "--config", str(file), "--adapter", "caddyfile"], port, folder, **variables):
        yield


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path, **variables: str) -> Iterator[None]:
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        assert os.environ.get("REQUIRE_SERVICES") != "1", f"{command[0]} is needed here"
        pytest.skip(f"{command[0]} is not installed")
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *command[1:]], env={"PATH": os.environ["PATH"], **variables}, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: answers(port), within_s=30, what=(folder / "proxy.log").read_text())
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("installation"), is_migrated=True) as installation:
        installation.env |= {
            "BASE_URL": "https://localhost",
            "TRUSTED_PROXIES": "127.0.0.1/32",
            "KEY_FAILURES_PER_MINUTE": "5",
            "METRICS_TOKEN": "a-token-for-prometheus",
        }
        installation.start()
        yield installation


@pytest.mark.long
@pytest.mark.parametrize("proxy", [nginx, caddy])
def test_behind_the_proxy_it_is_as_it_should_be(proxy: Proxy, web: Installation, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    (port,) = free_ports(1)
    with proxy(tmp_path, port, web.http_port):
        wait_for(lambda: ask(port, "/v1/me")[0] == 401, within_s=30, what="the proxy's look at the web process")
        status, headers, _ = ask(port, "/admin/login/")
        assert status == 200
        assert "max-age=" in headers["Strict-Transport-Security"]
        assert "Secure" in headers["Set-Cookie"]
        assert ask(port, "/v1/me", Authorization=f"Bearer {web.key}")[0] == 200
        # what looks at the parts is not for the world
        for inside in ("/metrics", "/healthz/live", "/healthz/work"):
            assert ask(port, inside, Authorization="Bearer a-token-for-prometheus")[0] == 404, inside
        # a mail of a few megabytes is taken
        large = b"Subject: large\r\n\r\n" + b"x" * 76 * 65536
        kind, path = "message/rfc822", "/v1/emails?recipient=help@example.com"
        bearer = {"Authorization": f"Bearer {web.key}", "Content-Type": kind}
        assert ask(port, path, body=large, **bearer)[0] == 201
        # nobody escapes the limit of his address by saying that he is somebody else; WSGI reads _ in a name as -
        for name in ("X-Forwarded-For", "X_Forwarded_For"):
            tries = [ask(port, "/v1/me", Authorization="Bearer x", **{name: f"192.0.2.{n}"})[0] for n in range(8)]
            assert tries[-1] == 429, name


def ask(
    port: int, path: str, *, body: bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = secured
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def make_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
