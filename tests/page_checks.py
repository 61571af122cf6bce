"""What judges pages: the Nu Html Checker, which is the W3C's validator, and axe-core.

`npm ci --prefix tests/browser_tools` installs them.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.shell import ROOT

TOOLS = ROOT / "tests" / "browser_tools"
AXE = TOOLS / "node_modules" / "axe-core" / "axe.min.js"
VNU = TOOLS / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"

RUN_AXE = """async (rules) => {
  const only = rules && rules.length ? { runOnly: { type: "rule", values: rules } } : {};
  const { violations } = await axe.run(document, { resultTypes: ["violations"], ...only });
  return violations.flatMap(({ id, help, nodes }) => nodes.map(({ target, html, any, all, none }) => ({
    rule: id,
    help,
    target: target.flat(9).join(" "),
    html: html.slice(0, 400),
    why: [...any, ...all, ...none].map(({ message }) => message).join("; "),
  })));
}"""
MATCHES = """([target, selector]) => {
  try { return document.querySelector(target).matches(selector); } catch { return false; }
}"""


@dataclass(frozen=True, slots=True)
class Excused:
    """What unfold's own markup does, and nothing of ours can mend: a rule's name, which elements, and why not."""

    rule: str
    selector: str
    reason: str


def need_tools() -> None:
    """Skips where they are not installed, and fails where they have to be."""
    lacking = [str(path.relative_to(ROOT)) for path in (AXE, VNU) if not path.exists()]
    lacking += ["java"] if shutil.which("java") is None else []
    if not lacking:
        return
    missing = f"there is no {', no '.join(lacking)} here (npm ci --prefix tests/browser_tools)"
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"{missing}, and REQUIRE_SERVICES=1")
    pytest.skip(missing)


@cache
def _axe() -> str:
    return AXE.read_text()


# what is half-way from nothing to its colour has too little contrast
SETTLED = """() => Promise.all(document.getAnimations()
    .filter(one => one.effect.getComputedTiming().endTime !== Infinity)
    .map(one => one.finished.catch(() => null)))"""


def axe_violations(
    page: Page, excused: Iterable[Excused] = (), *, rules: Sequence[str] = (), used: set[Excused] | None = None
) -> list[str]:
    """Of all rules, best practices too, if none are named. Those of `excused` that were needed are added to `used`."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe())
    page.evaluate(SETTLED)
    found: list[dict[str, Any]] = page.evaluate(RUN_AXE, list(rules))
    left = []
    for one in found:
        by = [e for e in excused if e.rule == one["rule"] and page.evaluate(MATCHES, [one["target"], e.selector])]
        if by and used is not None:
            used.update(by)
        if not by:
            left.append(f"{one['rule']}: {one['target']}\n    {one['html']}\n    {one['help']}: {one['why']}")
    return left


def html_errors(pages: Mapping[str, str], folder: Path) -> list[dict[str, str]]:
    """Of all pages in one run: the page's name, what is said, and what of the page it is about."""
    files = {}
    for n, (name, html) in enumerate(pages.items()):
        path = folder / f"{n}.html"
        path.write_text(html)
        files[path.as_uri()] = name
    command = ["java", "-Xss4m", "-jar", str(VNU), "--format", "json", "--errors-only", "--exit-zero-always"]
    done = subprocess.run([*command, *map(str, sorted(folder.glob("*.html")))], capture_output=True, check=True)
    return [
        {"page": files[one["url"].replace("file:/", "file:///").replace("////", "///")],
         "message": one["message"], "extract": one.get("extract", "")}
        for one in json.loads(done.stderr)["messages"]
    ]  # fmt: skip
