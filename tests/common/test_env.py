import base64
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from emailgistics.common import env

pytestmark = pytest.mark.long


def settings_say(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One setting as a process sees it that has only this environment."""
    return subprocess.run(
        [sys.executable, "-c", f"from emailgistics import settings; print(settings.{name})"],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_first_start_makes_secrets_that_only_the_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    env.ensure_generated(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "env").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["env"]
    assert {"SECRET_KEY", "API_KEY_PEPPERS", "ENCRYPTION_KEYS"} <= env.generated(folder).keys()


def test_later_starts_keep_them(tmp_path: Path) -> None:
    env.ensure_generated(tmp_path)
    before = (tmp_path / "env").read_bytes()
    env.ensure_generated(tmp_path)
    assert (tmp_path / "env").read_bytes() == before


def test_processes_that_start_at_once_agree_on_the_secrets(tmp_path: Path) -> None:
    def start(_: int) -> bytes:
        env.ensure_generated(tmp_path)
        return (tmp_path / "env").read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(40)))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


def test_one_generated_variable_changes_and_the_others_stay(tmp_path: Path) -> None:
    env.ensure_generated(tmp_path)
    before = env.generated(tmp_path)
    for value in ("one", "two=2"):
        env.set_generated(tmp_path, "SINK_SECRET", value)
        assert env.generated(tmp_path) == before | {"SINK_SECRET": value}
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


def test_a_private_file_is_never_written_over_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    env.write_private(path, "one")
    with pytest.raises(FileExistsError):
        env.write_private(path, "two")
    assert path.read_text() == "one"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_secrets_that_others_can_read_are_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "env"
    env.write_private(path, "SECRET_KEY=x\n")
    env.refuse_if_shared(path)
    path.chmod(mode)
    with pytest.raises(ImproperlyConfigured, match="chmod 600"):
        env.refuse_if_shared(path)


def test_a_variable_that_is_set_wins_over_the_generated_one(tmp_path: Path) -> None:
    env.ensure_generated(tmp_path)
    env.set_generated(tmp_path, "HTTP_PORT", "9001")
    assert settings_say("HTTP_PORT", DATA_DIR=str(tmp_path)).stdout == "9001\n"
    assert settings_say("HTTP_PORT", DATA_DIR=str(tmp_path), HTTP_PORT="9002").stdout == "9002\n"


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file-from-a-file-from-a-file-from-a-file")
    said = settings_say("SECRET_KEY", DATA_DIR=str(tmp_path / "var"), SECRET_KEY_FILE=str(tmp_path / "secret"))
    assert said.stdout == "from-a-file-from-a-file-from-a-file-from-a-file\n"


@pytest.mark.parametrize(("environment", "named"), [
    ({"DATABASE_URL": "postgresql://db.example/x"}, "set SECRET_KEY, API_KEY_PEPPERS, ENCRYPTION_KEYS"),
    ({"DATABASE_URL": "mysql://db.example/x", "SECRET_KEY": "x"}, "set API_KEY_PEPPERS, ENCRYPTION_KEYS"),
    ({"API_KEY_PEPPERS": "1:short"}, "API_KEY_PEPPERS"),
    ({"LOG_FORMAT": "xml"}, "LOG_FORMAT"),
    ({"HTTP_PORT": "many"}, "many"),
    ({"TIME_ZONE": "Mars"}, "TIME_ZONE is 'Mars'; it is a time zone such as Europe/Berlin"),
])  # fmt: skip
def test_a_wrong_value_stops_the_process_and_names_the_variable(
    tmp_path: Path, environment: dict[str, str], named: str
) -> None:
    said = settings_say("VERSION", DATA_DIR=str(tmp_path), **environment)
    assert (said.returncode, said.stdout) == (1, "")
    assert named in said.stderr


@pytest.mark.parametrize(("given", "servers"), [
    ("192.0.2.53", [("192.0.2.53", 53)]),
    ("192.0.2.53:54, ::53,[2001:db8::54]:5", [("192.0.2.53", 54), ("::53", 53), ("2001:db8::54", 5)]),
    ("", []),
])  # fmt: skip
def test_dns_servers_are_addresses_with_or_without_a_port(tmp_path: Path, given: str, servers: object) -> None:
    assert settings_say("DNS_SERVERS", DATA_DIR=str(tmp_path), DNS_SERVERS=given).stdout == f"{servers}\n"


@pytest.mark.parametrize(
    "given", ["dns.example.net", "192.0.2.53:0", "192.0.2.53:65536", "[192.0.2.53", "::1]:5", ":5"]
)
def test_what_is_no_dns_server_is_refused(tmp_path: Path, given: str) -> None:
    said = settings_say("DNS_SERVERS", DATA_DIR=str(tmp_path), DNS_SERVERS=given)
    assert (said.returncode, said.stdout) == (1, "")
    assert "DNS_SERVERS has" in said.stderr


def settings_of(tmp_path: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: settings are read once."""
    return subprocess.run(
        [sys.executable, "-c", f"from emailgistics import settings; {code}"],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


SERVER = {
    "DATABASE_URL": "postgresql://somebody@db.example.net/mail?sslmode=verify-full&application_name=x",
    "SECRET_KEY": "s" * 50,
    "API_KEY_PEPPERS": "1:" + base64.b64encode(bytes(32)).decode(),
    "ENCRYPTION_KEYS": "1:" + base64.b64encode(bytes(32)).decode(),
}


def test_what_database_url_says_about_the_connection_is_kept(tmp_path: Path) -> None:
    done = settings_of(tmp_path, "print(settings.DATABASES['default']['OPTIONS'])", **SERVER)
    assert "'sslmode': 'verify-full'" in done.stdout, done.stderr
    assert "'server_side_binding': True" in done.stdout


def test_the_secrets_of_a_trial_do_not_guard_a_server_database(tmp_path: Path) -> None:
    assert settings_of(tmp_path, "pass").returncode == 0
    assert (tmp_path / "data" / "env").exists()
    refused = settings_of(tmp_path, "pass", DATABASE_URL=SERVER["DATABASE_URL"])
    assert refused.returncode != 0
    assert "SECRET_KEY, API_KEY_PEPPERS, ENCRYPTION_KEYS" in refused.stderr


def test_a_value_in_a_file_comes_without_the_files_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://mail.example.com\n")
    done = settings_of(tmp_path, "print(repr(settings.BASE_URL))", BASE_URL_FILE=str(tmp_path / "url"))
    assert done.stdout == "'https://mail.example.com'\n", done.stderr


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("https://mail.example.com", "__Host-sessionid __Host-csrftoken True True 31536000"),
        ("http://mail.example.com", "sessionid csrftoken False False 0"),
    ],
)
def test_cookies_and_the_rest_keep_to_https_where_that_is_the_address(tmp_path: Path, base_url: str, said: str) -> None:
    names = (
        "SESSION_COOKIE_NAME",
        "CSRF_COOKIE_NAME",
        "SESSION_COOKIE_SECURE",
        "CSRF_COOKIE_SECURE",
        "SECURE_HSTS_SECONDS",
    )
    done = settings_of(tmp_path, f"print(*(getattr(settings, name) for name in {names}))", BASE_URL=base_url)
    assert done.stdout == f"{said}\n", done.stderr


def test_nobody_else_reads_what_is_written_beside_the_database(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    code = f"open({str(tmp_path / 'data' / 'mail')!r}, 'w').close()"
    assert settings_of(tmp_path, code).returncode == 0
    assert stat.S_IMODE((tmp_path / "data" / "mail").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "given, expected",
    [("", "3 days, 0:00:00"), ("72h", "3 days, 0:00:00"), ("30d", "30 days, 0:00:00"), ("90m", "1:30:00")],
)
def test_link_ttl_is_written_in_minutes_hours_or_days(tmp_path: Path, given: str, expected: str) -> None:
    given_variables = {"LINK_TTL": given} if given else {}
    said = settings_say("LINK_TTL", DATA_DIR=str(tmp_path), **given_variables)
    assert said.stdout == f"{expected}\n", said.stderr


@pytest.mark.parametrize("given", ["0h", "72", "h", "-1h", "1.5h", "72 h", "1w", "٣h", "3661d", "999999999d", " "])
def test_a_link_ttl_that_is_none_stops_the_process(tmp_path: Path, given: str) -> None:
    said = settings_say("LINK_TTL", DATA_DIR=str(tmp_path), LINK_TTL=given)
    assert said.returncode != 0
    assert f"LINK_TTL is {given!r}; it is like 90m, 72h or 30d, at most 3660d." in said.stderr


def test_trusted_proxies_are_networks(tmp_path: Path) -> None:
    said = settings_say("TRUSTED_PROXIES", DATA_DIR=str(tmp_path), TRUSTED_PROXIES="10.0.0.0/8, 2001:db8::1")
    assert said.stdout == "[IPv4Network('10.0.0.0/8'), IPv6Network('2001:db8::1/128')]\n"
    wrong = settings_say("TRUSTED_PROXIES", DATA_DIR=str(tmp_path), TRUSTED_PROXIES="10.0.0.1/8")
    assert wrong.returncode != 0
    assert "TRUSTED_PROXIES: 10.0.0.1/8 has host bits set" in wrong.stderr


def test_a_language_is_english_or_one_whose_catalogue_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pt_BR" / "LC_MESSAGES").mkdir(parents=True)
    (tmp_path / "pt_BR" / "LC_MESSAGES" / "django.mo").touch()
    (tmp_path / "de" / "LC_MESSAGES").mkdir(parents=True)  # not compiled
    environment = env.Environment()
    monkeypatch.delenv("CONSOLE_LANGUAGE", raising=False)
    assert environment.language("CONSOLE_LANGUAGE", default="en", folder=tmp_path) == "en"
    monkeypatch.setenv("CONSOLE_LANGUAGE", "pt-br")
    assert environment.language("CONSOLE_LANGUAGE", default="en", folder=tmp_path) == "pt-br"
    monkeypatch.setenv("CONSOLE_LANGUAGE", "de")
    with pytest.raises(ImproperlyConfigured, match=r"is 'de'; the languages that are here: en, pt-br\."):
        environment.language("CONSOLE_LANGUAGE", default="en", folder=tmp_path)
