"""Pictures of the console, as an installation in which everything has rows shows it.

    python -m tests.screenshots            # the eight in docs/screenshots
    python -m tests.screenshots FOLDER     # every page, light and dark, on a desk and on a phone

They are there to be looked at: what is ugly on them is a fault.
"""

import re
import subprocess
import sys
import tempfile
from asyncio import StreamWriter
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser import Visitor, administrator, chromium
from tests.console.crawling import crawl
from tests.installation import ROOT, Installation
from tests.webhooks.answers import Received, answer, receiver

DOCS = ROOT / "docs" / "screenshots"
SIZES = {"desk": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")
STANDS_AFTER_MS = 400  # what moves

FILL = "import django; django.setup(); from tests.console.populated import populate; populate({options})"
KEYS = "/admin/apikeys/apikey/"


def main() -> int:
    folder = Path(sys.argv[1]) if sys.argv[1:] else DOCS
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        receiver(by_path) as there,
        Installation(Path(data), on_postgres=False) as running,
    ):
        running.env |= {"RATE_LIMIT_MINUTE": "100", "RATE_LIMIT_HOUR": "1000", "RATE_LIMIT_DAY": "10000"}
        running.env |= {"WEBHOOK_ALLOW_NETWORKS": "127.0.0.1/32"}
        running.start()
        options = f"receiver='http://127.0.0.1:{there.port}'" + (", long='north'" if folder == DOCS else "")
        env = running.env | {"DJANGO_SETTINGS_MODULE": "emailgistics.settings"}
        running.stop()  # its workers would take what is filled in
        subprocess.run([sys.executable, "-c", FILL.format(options=options)], cwd=ROOT, env=env, check=True)
        running.start()
        with chromium() as browser:
            (the_best if folder == DOCS else every_page)(browser, running, folder)
    print(f"in {folder}")  # noqa: T201 - this is a command
    return 0


async def by_path(request: Received, writer: StreamWriter) -> None:
    await answer(503 if request.target.startswith("/crm") else 204)(request, writer)


def every_page(browser: Browser, running: Installation, folder: Path) -> None:
    for size, scheme in product(SIZES, SCHEMES):
        with visiting(browser, running, size, scheme) as visitor:
            visitor.sign_in(*administrator(running))
            crawl(visitor, partial(keep, folder, f"{size}-{scheme}"))


def keep(folder: Path, what: str, kind: str, page: Page) -> None:
    take(page, folder / f"{name_of(kind)}-{what}.png", whole=True)


def the_best(browser: Browser, running: Installation, folder: Path) -> None:
    for old in folder.glob("*.png"):
        old.unlink()
    for name, (size, scheme, open_page) in BEST.items():
        with visiting(browser, running, size, scheme) as visitor:
            visitor.sign_in(*administrator(running))
            open_page(visitor.page)
            take(visitor.page, folder / f"{name}.png", whole=open_page == dashboard and size == "desk")


def visiting(browser: Browser, running: Installation, size: str, scheme: str) -> Visitor:
    options = {"viewport": SIZES[size], "color_scheme": scheme, "reduced_motion": "reduce"}
    return Visitor(browser, f"http://127.0.0.1:{running.http_port}", **options)


def take(page: Page, path: Path, *, whole: bool = False) -> None:
    page.wait_for_timeout(STANDS_AFTER_MS)
    page.screenshot(path=path, full_page=whole)


def name_of(kind: str) -> str:
    return kind.strip("/").replace("/", "_").replace("*", "one")


# --- the eight


def at(address: str) -> Callable[[Page], object]:
    return lambda page: page.goto(address)


def dashboard(page: Page) -> None:
    """As it is once the first steps are done."""
    page.goto("/admin/")
    if (hide := page.get_by_text("Hide them on the dashboard")).count():
        hide.click()
        page.goto("/admin/")


def first_of(address: str, text: str | re.Pattern[str]) -> Callable[[Page], object]:
    """The page behind the first row that says so."""

    def open_it(page: Page) -> None:
        page.goto(address)
        page.get_by_role("link", name=text).first.click()
        page.wait_for_url("**/change/**")

    return open_it


def key_dialog(page: Page) -> None:
    page.goto(KEYS)
    page.get_by_role("link", name="Add Key").click()
    expect(page.get_by_role("dialog", name="Add Key")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Shop")
    page.get_by_role("checkbox", name="jobs@example.com").check()


BEST: dict[str, tuple[str, str, Callable[[Page], object]]] = {
    "dashboard": ("desk", "light", dashboard),
    "emails": ("desk", "dark", at("/admin/mailboxes/email/")),
    "email": ("desk", "light", first_of("/admin/mailboxes/email/", "Invoice")),
    "domain": ("desk", "light", first_of("/admin/mailboxes/domain/", "example.com")),
    "webhook": ("desk", "dark", first_of("/admin/webhooks/webhook/", "hooks/mail")),
    "delivery": ("desk", "light", first_of("/admin/webhooks/delivery/?state__exact=pending", re.compile("^20"))),
    "api-access": ("desk", "light", key_dialog),
    "phone": ("phone", "dark", dashboard),
}

if __name__ == "__main__":
    sys.exit(main())
