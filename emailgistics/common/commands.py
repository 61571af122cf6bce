"""The base of commands that look after one kind of thing: `manage.py domains create|list|show|delete …`.

With --json a command prints the object that the API answers for the thing. Exit status: 0 done, 1 refused or not
found, 2 wrong usage.
"""

import json
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError
from django.db.models import Model
from rest_framework.serializers import BaseSerializer

from emailgistics.common import selftest
from emailgistics.common.errors import DomainError

Row = TypeVar("Row", bound=Model)
Json = Mapping[str, Any]
GAP = "  "


class RecordCommand(BaseCommand, Generic[Row]):
    """For things that commands only look at: `list` and `show`. Subclasses say how they are listed and found."""

    # they stand between nobody and his data; `manage.py check` is for the installation
    requires_system_checks = ()

    noun: ClassVar[str]  # "domain", in help and messages
    handle_help: ClassVar[str]  # what show and delete take: "an id or a name"
    serializer: ClassVar[type[BaseSerializer[Any]]]
    makes_secrets: ClassVar[bool] = False  # so wrong peppers and encryption keys stop it, as they stop the parts
    columns: ClassVar[Sequence[str]]  # of the list for people: names out of the JSON

    def rows(self, options: Json) -> Iterable[Row]:
        """The things that there are."""
        raise NotImplementedError

    def find(self, text: str) -> Row:
        """Raises NotFoundError, or another DomainError for a text that names nothing of the kind."""
        raise NotImplementedError

    def add_list_arguments(self, parser: CommandParser) -> None:
        """For what narrows the list down."""

    def add_verbs(self, verbs: "Verbs") -> None:
        """For what a kind of thing can do besides."""

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = Verbs(parser)
        self.add_list_arguments(verbs.add("list", "list them", self._list))
        verbs.add("show", f"show one {self.noun}", self._show).add_argument("which", help=self.handle_help)
        self.add_verbs(verbs)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        run: Callable[[Json], None] = options["run"]
        with in_short():
            if self.makes_secrets:
                selftest.refuse_wrong_secrets()
            run(options)

    def print_one(self, row: Row, options: Json, **once: str) -> None:
        """The thing, as JSON or for people, with what is shown this once."""
        thing = {**self.json_of(row), **once}
        if options["json"]:
            self.stdout.write(json.dumps(thing, indent=2))
            return
        self.print_thing(thing)
        for name in once:
            self.stdout.write(f"\nCopy the {name} now: it is not shown again.")

    def print_thing(self, thing: Json) -> None:
        """For people, out of the JSON."""
        width = max(map(len, thing))
        for name, value in thing.items():
            self.stdout.write(f"{name:<{width}}{GAP}{readable(value)}")

    def json_of(self, row: Row) -> dict[str, Any]:
        return dict(self.serializer(row).data)

    def _list(self, options: Json) -> None:
        things = [self.json_of(row) for row in self.rows(options)]
        if options["json"]:
            self.stdout.write(json.dumps({"data": things}, indent=2))
            return
        table = [[readable(thing[name]) for name in self.columns] for thing in things]
        for line in aligned([list(self.columns), *table]):
            self.stdout.write(line)

    def _show(self, options: Json) -> None:
        self.print_one(self.find(options["which"]), options)


class ResourceCommand(RecordCommand[Row]):
    """For things that commands make and end as well, each by one service call."""

    end_verb: ClassVar[str] = "delete"

    def add_create_arguments(self, parser: CommandParser) -> None:
        raise NotImplementedError

    def create(self, options: Json) -> tuple[Row, Json]:
        """The new thing, and what is shown this once (`{"key": …}`). Raises DomainError."""
        raise NotImplementedError

    def end(self, row: Row) -> None:
        """Deletes or revokes it. Raises DomainError."""
        raise NotImplementedError

    def add_end_arguments(self, parser: CommandParser) -> None:
        """For what says how it is to end; then `end_as` obeys it."""

    def end_as(self, row: Row, options: Json) -> None:  # noqa: ARG002
        """Raises DomainError."""
        self.end(row)

    def add_verbs(self, verbs: "Verbs") -> None:
        self.add_create_arguments(verbs.add("create", "make one", self._create))
        end = verbs.add(self.end_verb, f"{self.end_verb} one {self.noun}", self._end)
        end.add_argument("which", help=self.handle_help)
        self.add_end_arguments(end)

    def _create(self, options: Json) -> None:
        row, once = self.create(options)
        self.print_one(row, options, **once)

    def _end(self, options: Json) -> None:
        row = self.find(options["which"])
        thing = self.json_of(row)
        self.end_as(row, options)
        if options["json"]:
            self.stdout.write(json.dumps(thing, indent=2))
        else:
            self.stdout.write(f"{self.end_verb.removesuffix('e')}ed {thing['id']}")


class ChangeableCommand(ResourceCommand[Row]):
    """For things that commands also change: `update`, `enable` and `disable`."""

    enable_help: ClassVar[str] = "let it take mail again"
    disable_help: ClassVar[str] = "let mail to it be refused; it keeps what it has"

    def add_update_arguments(self, parser: CommandParser) -> None:
        raise NotImplementedError

    def changes(self, options: Json) -> dict[str, Any]:
        """What the flags of `update` give, as `update` takes it. Raises DomainError."""
        raise NotImplementedError

    def update(self, row: Row, **changes: Any) -> Row:
        """One service call; `is_active` is among what it takes. Raises DomainError."""
        raise NotImplementedError

    def add_verbs(self, verbs: "Verbs") -> None:
        super().add_verbs(verbs)
        update = verbs.add("update", f"change one {self.noun}; what is not named stays", self._update)
        update.add_argument("which", help=self.handle_help)
        self.add_update_arguments(update)
        for verb, help_text, run in (
            ("enable", self.enable_help, self._enable),
            ("disable", self.disable_help, self._disable),
        ):
            verbs.add(verb, help_text, run).add_argument("which", help=self.handle_help)

    def _update(self, options: Json) -> None:
        changes = self.changes(options)
        if not changes:
            raise CommandError("Say what to change; --help shows what there is.", returncode=2)
        self._print_changed(options, **changes)

    def _enable(self, options: Json) -> None:
        self._print_changed(options, is_active=True)

    def _disable(self, options: Json) -> None:
        self._print_changed(options, is_active=False)

    def _print_changed(self, options: Json, **changes: Any) -> None:
        self.print_one(self.update(self.find(options["which"]), **changes), options)


class Verbs:
    """The sub-commands of a command; each takes --json and names the function that runs it."""

    def __init__(self, parser: CommandParser) -> None:
        self._parsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(self, verb: str, help_text: str, run: Callable[[Json], None]) -> CommandParser:
        parser: CommandParser = self._parsers.add_parser(verb, help=help_text)
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=run)
        return parser


@contextmanager
def in_short() -> Iterator[None]:
    """What is refused, and a database that does not answer, are for people, and need no traceback."""
    try:
        yield
    except DomainError as error:
        raise CommandError(error.message) from error
    except (OperationalError, ProgrammingError) as error:
        raise CommandError(
            f"The database does not answer as it should: {str(error).strip()}\nIf it has no tables yet, run "
            f"`manage.py migrate` (or `make run`). Is DATA_DIR ({settings.DATA_DIR}) the right one?"
        ) from error


@contextmanager
def ended_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does: what it has begun is put away, and nothing is left behind."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)  # as a shell says it of who was killed

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def read_secret(path: Path, *, flag: str = "--secret-file") -> str:
    """What the file of that flag holds, without its line end. Raises CommandError."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\r\n")
    except OSError as error:
        raise CommandError(f"{flag}: cannot read {path}: {error.strerror}.") from error


def readable(value: Any) -> str:
    """A value out of the JSON on one line, without anything that a terminal would obey."""
    match value:
        case None:
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case list():
            text = ", ".join(map(readable, value)) or "-"
        case dict():
            text = " ".join(f"{name}={readable(entry)}" for name, entry in value.items())
        case _:
            text = str(value)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
