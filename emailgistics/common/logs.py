"""Structured logs on stderr: one event a line, as text or JSON.

Log ids, counts and codes. Never subjects, bodies, whole addresses, keys, links or secrets. What libraries and the
texts of exceptions say all the same is masked as it is written, and no control of a terminal, nor a line of its own, is
written for anybody.
"""

import logging.config
import re
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured

from emailgistics.common.key_form import IDENTIFIER

EventDict = MutableMapping[str, Any]

SHARED: list[Callable[..., Any]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
# without local variables, which both would print: secrets and bodies are among them
TRACEBACKS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
PLAIN = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback)
# a link to a file needs no key, so whoever reads it in a log could use it: by its path, escaped or not, however the
# rest of it is written, and by its token alone (webhooks/files/links.py)
LINK = re.compile(
    r"((?:/|%2F)files(?:(?:/|%2F)(?:(?!/|%2F)[^\s\\\"'<>]){1,100}){2}(?:/|%2F))[^\s\\\"'<>]+"
    r"|\b(k\d{1,5}_)[A-Za-z0-9_-]{16,}",
    re.IGNORECASE | re.ASCII,
)

# keys and webhook secrets, wherever somebody put them: in a path, a query, the text of an exception
SECRET = re.compile(rf"({IDENTIFIER}_|whsec_)[0-9A-Za-z+/=%_-]{{8,}}", re.ASCII)
# who signs in at a URL, and with what: of a broker or database whose host has no dot as well
CREDENTIALS = re.compile(r"""(://)[^\s/?#\\"'<>]{1,300}@""")
# PostgreSQL's word on a row that breaks a constraint: the first octets of all columns, subjects and texts among them
ROW = re.compile(r"(Failing row contains )\([\s\S]{0,8000}\)\.")
# the local part of an address, which may be quoted, and the @ escaped. Not what has no dot behind it: the names of
# workers, mail@host
ADDRESS = re.compile(r"""(?:"[^"\r\n]{1,64}"|[^\s"'<>()\[\]{},;:/@=\\]{1,256})(@|%40)(?=[\w-]+\.|\[)""")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
BREAK = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
INDENT = "    "


def masked(text: str) -> str:
    """Without the secret part of links, keys and webhook secrets, and without the credentials in URLs."""
    without_links = LINK.sub(lambda match: f"{match[1] or match[2]}***", text)
    return CREDENTIALS.sub(r"\1***@", SECRET.sub(r"\1***", without_links))


def without_secrets(_logger: Any, _method: str, line: str) -> str:
    """A whole line as it is written, traceback and all."""
    return masked(line)


def without_addresses(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What is about to be written as JSON: nobody's address in it, however deep."""
    return {name: _anonymous(value) for name, value in event.items()}


def on_one_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """For people: what is said, and the text that is said of it, without line ends and other controls."""
    return {
        name: BREAK.sub(_escaped, value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }


def for_a_terminal(_logger: Any, _method: str, line: str) -> str:
    """A whole line for people: only what begins at the left is an entry, a traceback is below it."""
    return _of_nobody(CONTROL.sub(_escaped, line)).replace("\n", "\n" + INDENT)


def anonymous(text: str) -> str:
    """Without keys, links, secrets, rows and the local parts of addresses: for whatever leaves this machine as well."""
    return _of_nobody(masked(text))


def _of_nobody(text: str) -> str:
    return ADDRESS.sub(r"***\1", ROW.sub(r"\1***", text))


def _anonymous(value: Any) -> Any:
    match value:
        case str():
            return _of_nobody(value)
        case dict():
            return {name: _anonymous(entry) for name, entry in value.items()}
        case list() | tuple():
            return [_anonymous(entry) for entry in value]
        case _:
            return value


def _escaped(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode()


def logging_config(*, style: str, level: str) -> None:
    """Sets logging up for this process, for structlog and for the libraries' own loggers alike."""
    if style not in ("text", "json"):
        raise ImproperlyConfigured(f"LOG_FORMAT is {style!r}; it is text or json.")
    if level.upper() not in logging.getLevelNamesMapping():
        raise ImproperlyConfigured(f"LOG_LEVEL is {level!r}; it is DEBUG, INFO, WARNING or ERROR.")
    renderer: list[Callable[..., Any]] = (
        [structlog.processors.ExceptionRenderer(TRACEBACKS), without_addresses, structlog.processors.JSONRenderer()]
        if style == "json"
        else [on_one_line, PLAIN, for_a_terminal]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": SHARED,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *renderer,
                        without_secrets,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "filters": {"expected": {"()": lambda: without_expected_traceback}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
            "loggers": {
                # aiosmtpd: every command at INFO, and at WARNING each unknown one with its text, which may be a
                # password that somebody sent after our 502 to AUTH
                "mail.log": {"level": "ERROR"},
                "django.request": {"filters": ["expected"]},
                # a scanner with a made-up Host header; django.request says "Bad Request" without a traceback
                "django.security.DisallowedHost": {"level": "CRITICAL"},
                # at DEBUG, for each name that a template lacks: all of its context, so the key that a page shows once
                "django.template": {"level": "INFO"},
                "aiohttp.access": {"level": "WARNING"},
                "celery.worker.strategy": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "celery.beat": {"level": "WARNING"},
            },
        }
    )


def without_expected_traceback(record: logging.LogRecord) -> bool:
    """For `django.request`: somebody is told that a page is not for him, and nothing went wrong. The line will do."""
    if getattr(record, "status_code", None) == HTTPStatus.FORBIDDEN:
        record.exc_info = None
    return True


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
