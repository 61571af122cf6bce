"""Commands for a shell that send a first mail over SMTP, as they are shown to people."""

import json
import shlex

from django.conf import settings

SENDER = "ada@example.net"


def reachable(host: str) -> str:
    return "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - told apart, not listened on


def in_python(to: str) -> str:
    code = (
        "import smtplib, email.message; m = email.message.EmailMessage(); "
        f'm["From"] = "{SENDER}"; m["To"] = {json.dumps(to)}; m["Subject"] = "Hello"; '
        f'm.set_content("My first mail."); s = smtplib.SMTP("{reachable(settings.SMTP_HOST)}", {settings.SMTP_PORT}); '
        "s.send_message(m); s.quit()"
    )
    return shlex.join(["python3", "-c", code])


def by_swaks(to: str) -> str:
    server = f"{reachable(settings.SMTP_HOST)}:{settings.SMTP_PORT}"
    return shlex.join(["swaks", "--from", SENDER, "--to", to, "--server", server, "--header", "Subject: Hello"])
