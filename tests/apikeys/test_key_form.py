"""docs/keys: what it says about the form of keys is what the product does."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings

from apikeys.credentials import MalformedKeyError, new_key, parse_key
from tests.apikeys import key_vectors

FOLDER = settings.BASE_DIR / "docs" / "keys"
VECTORS = json.loads((FOLDER / "vectors.json").read_text())["vectors"]
TEXTS = [vector["text"] for vector in VECTORS]
EXPECTED = [[vector["identifier"], vector["reason"]] for vector in VECTORS]
# of the checkers and rules alike; what the README gives for other programs
EXPRESSION = "emgk_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}"
IN_NODE = """
import { readFileSync } from "node:fs";
const { check } = await import(process.argv[1]);
const said = JSON.parse(readFileSync(0, "utf8")).map((text) => {
  try { return [check(text), null]; } catch (error) { return [null, error.reason]; }
});
console.log(JSON.stringify(said));
"""


def python_checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", FOLDER / "check.py")
    assert spec is not None
    assert spec.loader is not None
    checker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checker)
    return checker


def in_python(texts: list[str]) -> list[list[str | None]]:
    checker = python_checker()

    def say(text: str) -> list[str | None]:
        try:
            return [checker.check(text), None]
        except checker.NotAKeyError as error:
            return [None, error.reason]

    return [say(text) for text in texts]


def in_node(texts: list[str]) -> list[list[str | None]]:
    command = ["node", "--input-type=module", "-e", IN_NODE, (FOLDER / "check.mjs").as_uri()]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    said: list[list[str | None]] = json.loads(done.stdout)
    return said


# JavaScript where there is Node.js, so that nothing is skipped where there is none
@pytest.mark.parametrize("checker", [in_python, in_node][: 2 if shutil.which("node") else 1])
def test_the_reference_checkers_say_what_the_vectors_say(checker: Any) -> None:
    made = [new_key() for _ in range(50)]
    said = checker([*TEXTS, *(key.plaintext for key in made)])
    assert said == [*EXPECTED, *([key.identifier, None] for key in made)]


def test_the_product_says_what_the_vectors_say() -> None:
    for text, (identifier, _) in zip(TEXTS, EXPECTED, strict=True):
        if identifier is None:
            with pytest.raises(MalformedKeyError):
                parse_key(text)
        else:
            assert parse_key(text) == identifier


def test_the_vectors_are_those_that_the_products_own_code_makes() -> None:
    assert (FOLDER / "vectors.json").read_text() == key_vectors.document()
    assert len(TEXTS) == len(set(TEXTS)) >= 40
    assert {reason for _, reason in EXPECTED} == {None, "prefix", "length", "alphabet", "checksum"}


def test_the_checker_is_a_program_that_quotes_no_key() -> None:
    def run(text: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, FOLDER / "check.py"], input=text, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    assert run(key_vectors.KEY + "\n") == (0, "emgk_EXAMPLE000\n", "")
    assert run(key_vectors.KEY[:-1] + "!") == (1, "", "not a key: alphabet\n")


def test_scanners_rules_find_keys_and_nothing_that_is_none() -> None:
    gitleaks = tomllib.loads((FOLDER / "gitleaks.toml").read_text())
    (rule,) = gitleaks["rules"]
    expression = rule["regex"]
    # as YAML between single quotes: what stands there is what is meant
    trufflehog = (FOLDER / "trufflehog.yaml").read_text()
    assert f"key: '{expression}'" in trufflehog
    assert rule["keywords"] == ["emgk_"]
    assert "      - emgk_\n" in trufflehog
    assert EXPRESSION in expression
    assert EXPRESSION in (FOLDER / "README.md").read_text()
    key = new_key().plaintext
    for around in ("{}", "Authorization: Bearer {}", 'KEY="{}"', "https://example.com/?key={}&x=1", "a\n{}\nb"):
        assert re.findall(expression, around.format(key)) == [key]
    assert not re.search(expression, key[:-1])
    (allowed,) = rule["allowlists"]
    assert re.search(allowed["regexes"][0], key_vectors.KEY)
    assert not re.search(allowed["regexes"][0], key)
