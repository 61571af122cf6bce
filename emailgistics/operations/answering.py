"""Whether the parts that have a port answer on it, as a client of theirs would see it."""

import http.client
import smtplib
from http import HTTPStatus

from emailgistics.sending import reachable

WITHIN_S = 2
LIVE = "/healthz/live"
TOO_BUSY = 421  # it says so itself, so it lives


def why_no_http(host: str, port: int, path: str = LIVE) -> str:
    """Empty: it answers 200."""
    connection = http.client.HTTPConnection(reachable(host), port, timeout=WITHIN_S)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"nothing answers HTTP on {host}:{port} ({_named(error)})"
    finally:
        connection.close()
    return "" if status == HTTPStatus.OK else f"{host}:{port}{path} answers {status}"


def why_no_smtp(host: str, port: int) -> str:
    """Empty: it greets, and lets go at QUIT."""
    try:
        # named, or it would ask the DNS for our own name first
        smtplib.SMTP(reachable(host), port, local_hostname="localhost", timeout=WITHIN_S).quit()
    except smtplib.SMTPResponseException as error:
        return "" if error.smtp_code == TOO_BUSY else f"{host}:{port} greets with {error.smtp_code}"
    except (OSError, smtplib.SMTPException) as error:
        return f"nothing answers SMTP on {host}:{port} ({_named(error)})"
    return ""


def _named(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
