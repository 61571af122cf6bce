"""What the console shows is in the language of the installation, and what programs read is not."""

import ast
import re
from collections.abc import Iterable, Iterator
from gettext import NullTranslations
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.translation import trans_real
from pytest_django import Settings

from emailgistics.console import names
from emailgistics.console.navigation import SECTIONS
from tests.apikeys.factories import make_key

# --- in the source

# not those that speak to programs, though the console repeats some of it: services, webhooks/diagnosis.py
MODULES = (
    *settings.BASE_DIR.glob("*/admin/*.py"),
    *settings.BASE_DIR.glob("emailgistics/console/**/*.py"),
    *(settings.BASE_DIR / f"emailgistics/common/{name}.py" for name in ("admin", "between", "charts", "instants")),
    *(
        settings.BASE_DIR / f"apikeys/{name}.py"
        for name in ("advice", "console", "forms", "notices", "presets", "use", "words")
    ),
)
# under these names alone `makemessages` finds them
GETTEXT = {"_", "gettext_lazy", "gettext_noop", "ngettext"}
# what they are given is kept, in a history or a log that is in one language, or is for who writes the program
KEPT = {
    "log_change", "log_changes", "log_addition", "record", "opened_content", "get_logger",
    "AssertionError", "ImproperlyConfigured", "BadRequest",
}  # fmt: skip
SHOWN = {"description", "label", "help_text", "title", "verb", "search_help_text", "verbose_name"}

NOT_TEXTS = {
    "emailgistics/console/roles_page.py": "writes a page of docs/, which are in English",
    "emailgistics/console/access_table.py": "says for that page and for tests who may what",
    "webhooks/admin/snippets.py": "programs to copy",
    "mailboxes/admin/email_frame.py": "a frame around what a mail says",
}
NOT_A_TEXT = {
    "no-store, private": "a header",
    "Authorization: Bearer …": "a header",
    'curl -H "Authorization: Bearer …" …/v1/me': "a command",
    "recovery code of …": "a row's name for who looks with the shell",
    "preferences of …": "a row's name for who looks with the shell",
    "an administrator, in the console": "kept, and said over the API",
    "paused in the console": "kept, and said over the API",
    "…, which created it, was deleted": "kept, and said over the API",
    "remote pictures of …": "kept in the audit log",
    "secrets of authenticators": "for a command",
    "moved to …": "kept in the history",
    "… after …": "the purpose of a token",
    "change …": "the purpose of a token",
    " WHERE state = '…'": "SQL",
    "not changed": "a kind of answer in the code; it has a name beside it",
    "console": "the label of an app",
    "session …": "a row's name for who looks with the shell",
    "person …": "whose requests are counted together",
    "name …": "whose requests are counted together",
    "Emailgistics …": "names the installation to an authenticator",
    "raw, as a file": "kept in the audit log",
    "attachment …": "kept in the audit log",
    "Samsung Internet": "a name",
    "Mac OS": "a name",
}


def texts_of(source: str) -> Iterator[tuple[int, str]]:
    """What stands in it as a text for people and is not marked: the line, and the text with … for what is filled in."""
    tree = ast.parse(source)
    passed = {id(node) for part in _passed(tree) for node in ast.walk(part)}
    shown = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in SHOWN}
    shown |= {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in SHOWN
    }
    for node in ast.walk(tree):
        if (
            id(node) not in passed
            and (text := _text(node)) is not None
            and looks_shown(text, is_shown=id(node) in shown)
        ):
            yield node.lineno, text  # type: ignore[attr-defined]  # an expression has one


def looks_shown(text: str, *, is_shown: bool) -> bool:
    words = re.sub(r"<[^>]*>", "", text).strip()
    if is_shown:
        return bool(re.search("[A-Za-z]", words))
    is_sentence = " " in words and re.search("[a-z]{2}", words) and (words[0].isupper() or words[-1] in ".?!")
    return bool(is_sentence or re.search(r"[a-z]{2},? [a-z]{2}|[a-z]{2},? …|… [a-z]{3}", words))


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def _passed(tree: ast.AST) -> Iterator[ast.AST]:
    """The parts that have no text for people in them, or a marked one."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant() as documentation):
                yield documentation
            case ast.Call(func=function) if _name(function) in GETTEXT | KEPT:
                yield node
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
                yield node
            case ast.Dict():
                yield from (key for key in node.keys if key is not None)
            case ast.JoinedStr():
                yield from (part for part in node.values if isinstance(part, ast.Constant))
            case ast.AnnAssign():
                yield node.annotation
            case ast.FunctionDef():
                yield from (one.annotation for one in (*node.args.args, *node.args.kwonlyargs) if one.annotation)
                yield from [node.returns] if node.returns else []
            case ast.ClassDef():
                yield from node.bases


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def unmarked(paths: Iterable[Path]) -> list[str]:
    found = []
    for path in sorted(paths):
        name = path.relative_to(settings.BASE_DIR).as_posix()
        if name not in NOT_TEXTS and "/migrations/" not in name:
            told = texts_of(path.read_text())
            found += [f"{name}:{line}: {text!r}" for line, text in told if text not in NOT_A_TEXT]
    return found


def test_every_text_of_the_console_is_marked_for_translation() -> None:
    assert unmarked(MODULES) == []


@pytest.mark.parametrize(
    "source",
    [
        'title = "state"',
        '@display(description="State")\ndef state(): ...',
        'said = "Nothing was done."',
        'said = f"{done} rows are done."',
        "said = format_html('<b>{}</b> only from {}', a, b)",
    ],
)
def test_a_text_that_is_not_marked_is_found(source: str) -> None:
    assert len(list(texts_of(source))) == 1


def test_no_marked_text_is_filled_in_before_it_is_looked_up() -> None:
    """`_(f"…")` is found in no catalogue."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name(node.func) in GETTEXT:
                assert not any(isinstance(one, ast.JoinedStr) for one in node.args), (path, node.lineno)


def test_what_marks_a_text_has_a_name_that_makemessages_knows() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
                assert {one.asname or one.name for one in node.names} <= GETTEXT, path


def test_lists_of_allowed_texts_have_nothing_that_is_not_there() -> None:
    there = {text for path in MODULES for _line, text in texts_of(path.read_text())}
    assert NOT_A_TEXT.keys() <= there
    assert all((settings.BASE_DIR / name).exists() for name in NOT_TEXTS)


# --- on the pages


class Marked(NullTranslations):
    """A language in which each message is itself, between ⟦ and ⟧."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧" if message else ""

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)

    def language(self) -> str:
        return LANGUAGE

    def to_language(self) -> str:
        return LANGUAGE


LANGUAGE = "eo"  # any but English that Django knows


@pytest.fixture
def another_language(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trans_real._translations, LANGUAGE, Marked())  # type: ignore[attr-defined]
    settings.CONSOLE_LANGUAGE = LANGUAGE


def text_in(html: str, start: str, end: str) -> list[str]:
    """What is between the tags, without those within, if it has letters."""
    found = re.findall(rf"<{start}\b[^>]*>(.*?)</{end}>", html, re.DOTALL)
    texts = (" ".join(re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL).split()) for text in found)
    return [text for text in texts if re.search("[A-Za-z]", text)]


def read(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, url
    return str(response.content.decode())


LISTS = {
    "mailboxes_mailbox": ("Address", "name", "State", "Aliases", "Emails", "Used", "created at"),
    "mailboxes_alias": ("Address", "Leads to", "State", "kind", "priority", "description", "created at"),
    "mailboxes_domain": ("name", "State", "Mailboxes", "default mailbox"),
    "webhooks_webhook": ("URL", "For mail to", "State", "Waiting", "Held", "Last answer"),
    "webhooks_delivery": ("Created", "About", "Webhook", "State", "attempts", "Last answer", "Next attempt"),
    "apikeys_apikey": ("Name", "Status", "Scopes", "Mailboxes", "Expires", "Last used", "Plan"),
}
LISTS_OF_TEMPLATES = {"mailboxes_email"}  # their headings are not in Python


@pytest.mark.usefixtures("another_language", "one_of_each")
def test_headings_of_lists_are_in_the_language(administrator: Client) -> None:
    for model in admin.site._registry:
        page = f"{model._meta.app_label}_{model._meta.model_name}"
        if page in LISTS_OF_TEMPLATES:
            continue
        (head,) = re.findall(r"<thead.*?</thead>", read(administrator, reverse(f"admin:{page}_changelist")), re.DOTALL)
        shown = text_in(head, "th", "th")
        assert [text for text in shown if "⟦" not in text] == [], page
        there = " ".join(shown).casefold()
        assert [name for name in LISTS.get(page, ()) if f"⟦{name}⟧".casefold() not in there] == [], page


@pytest.mark.usefixtures("another_language", "one_of_each")
def test_the_sidebar_titles_and_filters_are_in_the_language(administrator: Client) -> None:
    page = read(administrator, reverse("admin:mailboxes_alias_changelist"))
    for title, items in SECTIONS:
        for one in [title, *(item[0] for item in items)]:
            assert str(one) == "" or f"⟦{one}⟧" in page
    for title in ("is active", "kind", "test domains", "deleted", "domain", "mailbox"):
        assert re.search(rf"⟦{title}⟧", page, re.IGNORECASE), title
    for choice in ("In test domains", "Not deleted", "Catch All", "Enable", "Disable: its mail is refused"):
        assert f"⟦{choice}⟧" in page


PAGES = {
    "mailboxes_mailbox": (
        "What it is",
        "Retention",
        "name",
        "Active",
        "Quota, octets",
        "See also",
        "Aliases that lead here",
    ),
    "mailboxes_alias": ("What it is", "Active", "Further mailboxes", "description", "Where mail to it would go"),
    "mailboxes_rule": ("What it is", "Action", "Criterion", "Block", "For people."),
    "webhooks_webhook": ("What it is told of", "What is sent", "Requests at once", "Created by", "active"),
    "webhooks_delivery": ("What for", "Attempts", "State of the webhook", "pending"),
    "apikeys_apikey": ("a moment ago", "1 mailbox"),
}


@pytest.mark.usefixtures("another_language")
def test_labels_facts_and_choices_are_in_the_language(administrator: Client, one_of_each: dict[str, Model]) -> None:
    for label, row in one_of_each.items():
        page = label.lower().replace(".", "_")
        if page in PAGES:
            shown = read(administrator, reverse(f"admin:{page}_change", args=[row.pk])).casefold()
            assert [text for text in PAGES[page] if f"⟦{text}".casefold() not in shown] == [], page


@pytest.mark.usefixtures("another_language")
def test_what_was_done_is_told_in_the_language_and_kept_in_english(
    administrator: Client, one_of_each: dict[str, Model]
) -> None:
    alias = one_of_each["mailboxes.Alias"]
    sent = {"action": "disable", "_selected_action": [alias.pk]}
    page = administrator.post(reverse("admin:mailboxes_alias_changelist"), sent, follow=True).content.decode()
    assert "⟦1 ⟦alias⟧ ⟦disabled⟧.⟧" in page
    assert LogEntry.objects.latest("pk").change_message == "disabled in the list"


@pytest.mark.usefixtures("another_language", "one_of_each")
def test_all_pages_of_the_menu_open_in_any_language(administrator: Client) -> None:
    for name in ("index", "first_steps", "statistics", "account", "search", "mailboxes_alias_explain"):
        assert "⟦" in read(administrator, reverse(f"admin:{name}"))
    for model in admin.site._registry:
        page = f"{model._meta.app_label}_{model._meta.model_name}"
        assert "⟦" in read(administrator, reverse(f"admin:{page}_changelist"))
    for page in ("mailboxes_domain", "mailboxes_mailbox", "mailboxes_alias", "mailboxes_rule", "webhooks_webhook",
                 "apikeys_apikey", "auth_user"):  # fmt: skip
        assert "⟦" in read(administrator, reverse(f"admin:{page}_add"))
    assert translation.get_language() == "en"


@pytest.mark.usefixtures("another_language")
def test_a_form_is_refused_in_the_language(administrator: Client) -> None:
    page = administrator.post(reverse("admin:apikeys_apikey_add"), {"name": ""}).content.decode()
    assert "⟦A key needs a name: say what uses it.⟧" in page
    assert "⟦Choose how long the key lasts; shorter is safer.⟧" in page


@pytest.mark.django_db
def test_the_api_answers_in_english_whatever_the_language(settings: Settings, another_language: None) -> None:
    """The texts are those of an installation that speaks English: each is asked in both."""
    _key, plaintext = make_key()
    headers = {"Authorization": f"Bearer {plaintext}"}

    def ask() -> list[bytes]:
        client = Client(headers=headers)
        asked = [
            Client().get("/v1/mailboxes"),
            client.get("/v1/mailboxes/mbx_nothing"),
            client.get("/v1/mailboxes?nothing=1"),
            client.post("/v1/mailboxes", {"address": 7}, content_type="application/json"),
            client.post("/v1/mailboxes", "{", content_type="application/json"),
            client.post("/v1/rules", {"action": "nothing"}, content_type="application/json"),
            client.get("/v1/nothing"),
            client.put("/v1/mailboxes"),
            Client().get("/files/nothing"),
        ]
        assert all(answer.status_code >= 400 for answer in asked)
        return [re.sub(rb'"request_id": ?"[^"]*"', b"", answer.content) for answer in asked]

    in_another = ask()
    settings.CONSOLE_LANGUAGE = "en"
    assert ask() == in_another
    assert not any("⟦".encode() in answer for answer in in_another)


def test_every_name_of_what_pages_show_is_marked() -> None:
    """`names.py` has the names of models and fields that Django makes itself."""
    missing = []
    for model, page in admin.site._registry.items():
        options = model._meta
        if options.app_label not in names.APPS:
            continue
        missing += [
            name
            for name in map(str, (options.verbose_name, options.verbose_name_plural))
            if name not in names.OF_MODELS
        ]
        filters = [one[0] if isinstance(one, tuple) else one for one in page.list_filter]
        for name in (*page.list_display, *filters, *page.readonly_fields):
            field = next((one for one in options.fields if one.name == name), None)
            if field and str(field.verbose_name) not in {*names.OF_FIELDS, *names.OF_MODELS}:
                missing.append(str(field.verbose_name))
    assert missing == []
