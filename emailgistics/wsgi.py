"""The web process: Granian calls `served` for what it serves."""

import os
import re
from collections.abc import Iterable
from typing import Any
from wsgiref.types import WSGIApplication

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.utils.http import parse_header_parameters

from emailgistics.lifeline import watch_supervisor

BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")  # RFC 2046 section 5.1.1; nothing in it ends the quotes

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emailgistics.settings")
watch_supervisor()
django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    environ["CONTENT_TYPE"] = utf8(environ.get("CONTENT_TYPE", ""))
    if settings.IS_HTTPS:
        # by BASE_URL people reach it over TLS, whatever the proxy says of its own connection: so a form is taken from
        # our own pages alone
        environ["wsgi.url_scheme"] = "https"
    return django(environ, start_response)


def served() -> WSGIApplication:
    """`application`, in a process that serves it: what is counted there is written down from now on."""
    from apikeys import usage  # noqa: PLC0415 - it has models, which are there only now

    watch_supervisor()  # a fork of one that imported this has not done so by importing it
    usage.start_flushing()
    return application


def utf8(content_type: str) -> str:
    """A Content-Type that says no charset: its type, and the boundary of a form in parts.

    All that we read is UTF-8. Django would decode the query as well in whatever codec is named: in one that is for no
    text (hex), that fails before any middleware; in one that reads escapes, half surrogate pairs come out.
    """
    try:
        kind, parameters = parse_header_parameters(content_type)
    except (LookupError, ValueError):  # RFC 2231 lets each parameter name a charset, too
        return content_type.partition(";")[0].strip()
    boundary = parameters.get("boundary", "")
    return f'{kind}; boundary="{boundary}"' if BOUNDARY.fullmatch(boundary) else kind
