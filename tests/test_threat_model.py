"""What docs/security names is there: files of the code, and tests that show what is said of them."""

import re
from collections.abc import Iterator

import pytest
from django.conf import settings

pytestmark = pytest.mark.on_sqlite  # no database has to do with it

ROOT = settings.BASE_DIR
PAGES = sorted((ROOT / "docs" / "security").glob("*.md"))
FILE = re.compile(r"`((?:emailgistics|mailboxes|apikeys|webhooks|tests|templates|\.ci)/[\w./]+)`")
NAMED = re.compile(rf"{FILE.pattern}: ((?:`test_\w+`(?:, )?)+)")


def named_tests() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for file, names in NAMED.findall(page.read_text()):
            yield from ((file, name) for name in re.findall(r"`(test_\w+)`", names))


def test_every_file_is_there() -> None:
    named = {file for page in PAGES for file in FILE.findall(page.read_text())}
    assert len(named) > 50
    assert sorted(file for file in named if not (ROOT / file).exists()) == []


def test_every_test_is_where_it_is_said_to_be() -> None:
    named = set(named_tests())
    assert len(named) > 60
    assert [pair for pair in sorted(named) if f"\ndef {pair[1]}(" not in (ROOT / pair[0]).read_text()] == []


def test_no_test_is_named_without_its_file() -> None:
    for page in PAGES:
        text = page.read_text()
        alone = set(re.findall(r"`(test_\w+)`", text)) - {name for _, name in named_tests()}
        assert alone == set(), page


def test_each_actor_has_what_is_not_defended() -> None:
    text = (ROOT / "docs" / "security" / "threat-model.md").read_text()
    actors = text.split("\n## ")[2:]
    assert len(actors) == 10
    assert [actor.partition("\n")[0] for actor in actors if "**Not defended.**" not in actor] == []
