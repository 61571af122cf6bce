"""What `make audit` makes of what is known about dependencies."""

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings

pytestmark = pytest.mark.on_sqlite  # no database has to do with it

VULNERABLE = {
    "name": "engine",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2030-1", "aliases": ["CVE-2030-1"], "fix_versions": ["1.1"]}],
}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", settings.BASE_DIR / ".ci" / "audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module  # its dataclasses ask for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(audit: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs it as if the service said this of every file but the canary's, of which it says that."""

    def of(answer: Any, *, canary: Any = VULNERABLE, ignored: str = "") -> int:
        (tmp_path / "ignored.toml").write_text(ignored)
        monkeypatch.setattr(audit, "IGNORED", tmp_path / "ignored.toml")

        def ask(path: Path, *, until: float) -> list[Any]:
            assert until > time.monotonic()
            said = canary if path.name == "canary.txt" else answer
            if isinstance(said, Exception):
                raise said
            return [said]

        monkeypatch.setattr(audit, "ask", ask)
        status: int = audit.main()
        return status

    return of


def test_a_known_vulnerability_fails_and_says_what_helps(run: Any, capsys: Any) -> None:
    assert run(VULNERABLE) == 1
    said = capsys.readouterr().err
    assert "engine 1.0: CVE-2030-1, PYSEC-2030-1; fixed in: 1.1" in said
    assert "make lock" in said


@pytest.mark.parametrize("name", ["PYSEC-2030-1", "CVE-2030-1"])
def test_one_that_somebody_has_judged_does_not(run: Any, capsys: Any, name: str) -> None:
    assert run(VULNERABLE, ignored=f'[[ignored]]\nid = "{name}"\nreason = "nothing here calls it"\n') == 0
    assert capsys.readouterr().out == "No known vulnerability.\n"


def test_an_entry_needs_a_reason(run: Any) -> None:
    with pytest.raises(ValueError, match="say why for PYSEC-2030-1"):
        run(VULNERABLE, ignored='[[ignored]]\nid = "PYSEC-2030-1"\n')


def test_an_entry_that_is_no_longer_needed_is_told(run: Any, capsys: Any) -> None:
    entry = '[[ignored]]\nid = "PYSEC-2030-2"\nreason = "as above"\n'
    assert run({"name": "engine", "version": "1.1", "vulns": []}, ignored=entry) == 0
    assert "names PYSEC-2030-2, which was not found: it can go." in capsys.readouterr().out


def test_who_cannot_be_reached_fails_nothing_and_is_told(audit: ModuleType, run: Any, capsys: Any) -> None:
    assert run(VULNERABLE, canary=audit.UnaskedError("no route")) == 0
    said = capsys.readouterr().out
    assert said == "Known vulnerabilities could not be asked for, so nothing is said about them: no route.\n"


def test_a_service_without_advisories_is_not_believed(run: Any, capsys: Any) -> None:
    """As a mirror of packages alone: it finds nothing wrong with anything."""
    assert run(VULNERABLE, canary={"name": "idna", "version": "3.6", "vulns": []}) == 0
    assert "could not be asked for" in capsys.readouterr().out


def test_what_was_found_before_the_service_went_away_counts(
    audit: ModuleType, run: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([[VULNERABLE], [VULNERABLE]])

    def ask(path: Path, *, until: float) -> list[Any]:
        if (answer := next(answers, None)) is None:
            raise audit.UnaskedError("gone")
        return answer

    monkeypatch.setattr(audit, "ask", ask)
    assert audit.main() == 1


def test_no_answer_in_time_and_no_json_are_no_answer(audit: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(audit.UnaskedError):  # no pip-audit here, so it ends with an error and without JSON
        audit.ask(tmp_path / "none.txt", until=time.monotonic() + 20)


def test_the_list_of_the_repository_is_well_formed(audit: ModuleType) -> None:
    audit.ignored_with_reasons((settings.BASE_DIR / ".ci" / "audit-ignored.toml").read_text())
