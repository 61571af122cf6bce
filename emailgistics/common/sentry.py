"""Faults, told to a Sentry that the operator names: each error line of the log is an event there.

Of an event only what is listed here goes out, and the texts in it as a log has them: no request, person, variable,
query or breadcrumb. Nothing of Django, Celery or HTTP clients is patched, so nobody gets the header of a trace either.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from emailgistics.common.logs import anonymous

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

TO_SEARCH_BY = ("request_id", "email", "message", "delivery", "webhook", "job", "alarm")
OF_THE_EVENT = ("event", "exc_info", "logger", "level", "timestamp")  # said elsewhere in it
AS_THEY_ARE = ("event_id", "timestamp", "platform", "level", "logger", "release", "environment", "server_name", "sdk")


def report_to(dsn: str, *, release: str, environment: str) -> None:
    """Raises ImproperlyConfigured."""
    # only here: who tells nobody needs none of it in memory
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.integrations.atexit import AtexitIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.dedupe import DedupeIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.logging import LoggingIntegration  # noqa: PLC0415
    from sentry_sdk.utils import BadDsn, Dsn  # noqa: PLC0415

    try:
        Dsn(dsn)
    except BadDsn as error:
        raise ImproperlyConfigured(f"SENTRY_DSN: {error}. It is like https://KEY@sentry.example.com/1.") from error
    sentry_sdk.init(
        dsn,
        release=release,
        environment=environment,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            AtexitIntegration(callback=lambda _pending, _timeout: None),  # sends what it has, and says nothing of it
            LoggingIntegration(level=None, event_level=logging.ERROR),
            ExcepthookIntegration(),
            DedupeIntegration(),
        ],
        before_send=told,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        enable_backpressure_handling=False,  # a thread that nothing here needs
        propagate_traces=False,
        shutdown_timeout=2,
    )


def told(event: "Event", hint: "Hint") -> "Event":
    """The event as it goes out."""
    given: Mapping[str, Any] = event
    out: dict[str, Any] = {name: given[name] for name in AS_THEY_ARE if name in given}
    record = hint.get("log_record")
    if record is not None:
        out |= _line(record)
    if "exception" in given:
        out["exception"] = {"values": [_exception(one) for one in given["exception"].get("values", [])]}
    told_event: Event = out  # type: ignore[assignment] # a TypedDict, made name by name
    return told_event


def _line(record: logging.LogRecord) -> dict[str, Any]:
    """What the log has besides a traceback: structlog's names and values, or a library's text."""
    if not isinstance(record.msg, dict):
        return {"logentry": {"message": anonymous(record.getMessage())}}
    values = {name: anonymous(str(value)) for name, value in record.msg.items() if name not in OF_THE_EVENT}
    tags = {name: values.pop(name) for name in TO_SEARCH_BY if name in values}
    return {"logentry": {"message": anonymous(str(record.msg["event"]))}, "tags": tags, "extra": values}


def _exception(one: Mapping[str, Any]) -> dict[str, Any]:
    frames = (one.get("stacktrace") or {}).get("frames", [])
    return {
        "type": one.get("type"),
        "module": one.get("module"),
        "value": anonymous(str(one.get("value") or "")),
        "stacktrace": {
            "frames": [{name: value for name, value in frame.items() if name != "vars"} for frame in frames]
        },
    }
