"""docs/operations/commands.md, written from the parsers of the commands, so that it says what they take."""

import argparse
import re
from collections.abc import Iterator

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandParser

APPS = ("emailgistics", "mailboxes", "apikeys", "webhooks")
EXAMPLE = "Example: "
JSON = "--json"  # nearly all have it: it is said once

INTRODUCTION = """\
# Commands

Written by `manage.py command_reference` from the commands themselves; a test says when it has to run again. Each also
explains itself: `manage.py domains --help`, `manage.py domains create --help`.

They are run as `.venv/bin/python manage.py …`, with the environment of the installation: `DATA_DIR`, or `DATABASE_URL`,
`REDIS_URL` and the secrets. All but those that run on take `--json`, with which they print JSON and nothing else: for
a thing, what the API answers for it. Logs and faults go to stderr. A thing is named by its id or, where it has one, by
its address or name.

| exit status | |
|---|---|
| 0 | done; of a question: yes, it is well |
| 1 | refused, not found, or not well; stderr says why |
| 2 | wrong usage; stderr says how it is used |

Where a command has others, it is said there.
"""


def text() -> str:
    names = sorted(name for name, app in get_commands().items() if app in APPS)
    contents = ", ".join(f"[{name}](#{name})" for name in names)
    return "\n".join([INTRODUCTION, f"{contents}\n", *(line for name in names for line in _section(name))])


def _section(name: str) -> Iterator[str]:
    command: BaseCommand = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    about, _, example = str(command.help).partition(EXAMPLE)
    yield f"## {name}\n"
    yield f"{about.strip()}\n"
    if example:
        yield "".join(f"    {line.strip()}\n" for line in re.split(r"\s+or\s+(?=manage\.py )", example.strip()))
    yield from _arguments(parser, known=_known())
    for verb, about_it, of_verb in _verbs(parser):
        yield f"### {name} {verb}\n"
        yield f"{_sentence(about_it)}\n"
        yield from _arguments(of_verb, known=set())


def _known() -> set[str]:
    """What every command of Django's takes."""
    parser = BaseCommand().create_parser("manage.py", "any")
    return {flag for action in parser._actions for flag in action.option_strings}  # noqa: SLF001 - no other way


def _verbs(parser: CommandParser) -> Iterator[tuple[str, str, CommandParser]]:
    for action in parser._actions:  # noqa: SLF001 - as above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            told = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            for verb, of_verb in action.choices.items():
                yield verb, told[verb], of_verb


def _arguments(parser: CommandParser, *, known: set[str]) -> Iterator[str]:
    given = [
        action
        for action in parser._actions  # noqa: SLF001 - as above
        if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))  # noqa: SLF001
        and not known.intersection(action.option_strings)
        and JSON not in action.option_strings
    ]
    shown = sorted(given, key=lambda action: bool(action.option_strings))
    if shown:
        yield "\n".join(f"- `{_written(action)}`{_told(action)}" for action in shown) + "\n"


def _written(action: argparse.Action) -> str:
    """`--scope SCOPE`, or `which`."""
    value = _value(action)
    if not action.option_strings:
        return value
    flags = ", ".join(action.option_strings)
    return f"{flags} {value}".strip() if action.nargs != 0 else flags


def _value(action: argparse.Action) -> str:
    if action.metavar is not None:
        named = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    elif action.choices is not None:
        named = "|".join(map(str, action.choices))
    else:
        named = action.dest.upper() if action.option_strings else action.dest
    match action.nargs:
        case "*":
            return f"[{named} …]"
        case "+":
            return f"{named} …"
        case "?":
            return f"[{named}]"
        case _:
            return named


def _told(action: argparse.Action) -> str:
    is_needed = " (required)" if action.required and action.option_strings else ""
    said = (action.help or "") % {**vars(action), "prog": "manage.py"} if action.help else ""
    return f"{is_needed}: {said}" if said else is_needed


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words and not words.endswith(".") else words
