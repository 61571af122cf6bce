"""The whole installation in one command: every part, supervised."""

import errno
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.conf import settings
from django.core.cache import caches
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connections

from emailgistics import forkserver, lifeline
from emailgistics.common import selftest
from emailgistics.management.commands.quickstart import allow_receiver, receiver_url
from emailgistics.operations.answering import why_no_http, why_no_smtp
from emailgistics.supervisor import Output, Part, Start, Supervisor, start_interpreter

# Orphans of a killed supervisor look for it twice a second, then let go of its lock and its ports.
WAIT_FOR_ORPHANS_S = 3
LOOPBACK = "127.0.0.1"

# What runs on a server too, one process each: the Procfile has the same lines.
COMMANDS = {
    "web": "python manage.py web",
    "smtp": "python manage.py smtpd",
    "worker": "python -m celery -q -A emailgistics worker -Q mail -n mail@%h --concurrency 2 --time-limit 40 "
    "--without-gossip --without-mingle --without-heartbeat",
    "dispatcher": "python -m celery -q -A emailgistics worker -Q webhooks -n webhooks@%h --pool solo "
    "--without-gossip --without-mingle --without-heartbeat",
    "beat": "python -m celery -q -A emailgistics beat",
}


class Command(BaseCommand):
    help = (
        "Run the whole installation until Ctrl-C: web, SMTP, workers, scheduler and, with the embedded database, a "
        "receiver for webhooks. Makes the samples on the first start.  Example: HTTP_PORT=8080 manage.py up"
    )
    requires_system_checks = "__all__"

    def handle(self, *args: object, **options: object) -> None:
        settings.DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        output = Output(sys.stdout.fileno())
        supervisor = Supervisor(output, stop_within_s=settings.STOP_WITHIN_S)
        try:
            with supervisor.stopped_by_signals(), _lifeline() as variables:
                _refuse_taken_ports()
                _migrate()
                selftest.refuse_wrong_secrets()
                if settings.EMBEDDED:
                    allow_receiver()
                    call_command("quickstart", stdout=self.stdout)
                    _flush_stdout()
                with _start() as start:
                    output.open()  # and so the first thread: what is forked has none
                    supervisor.say(_where_it_listens())
                    environment = _environment() | variables
                    supervisor.run(list(_parts()), folder=settings.BASE_DIR, environment=environment, start=start)
        finally:
            output.close()


def _migrate() -> None:
    try:
        call_command("migrate", verbosity=0, interactive=False)
    except OperationalError as error:
        raise CommandError(f"The database cannot be used: {str(error).strip()}") from error


def _parts() -> Iterator[Part]:
    answers = {
        "web": lambda: not why_no_http(settings.HTTP_HOST, settings.HTTP_PORT),
        "smtp": lambda: not why_no_smtp(settings.SMTP_HOST, settings.SMTP_PORT),
        "lmtp": lambda: not why_no_smtp(LOOPBACK, settings.LMTP_PORT),
        "sink": lambda: not why_no_http(LOOPBACK, settings.SINK_PORT, "/"),
    }
    commands = {name: [sys.executable, *shlex.split(command)[1:]] for name, command in COMMANDS.items()}
    if settings.SMTP_PROCESSES > 1:
        commands["smtp"].append("--reuse-port")
        # each of them answers on the port, so only one can be asked
        commands |= {f"smtp-{number}": commands["smtp"] for number in range(2, settings.SMTP_PROCESSES + 1)}
    if settings.LMTP_PORT:
        commands["lmtp"] = [*commands["smtp"][:3], "--lmtp"]
    if _has_receiver():
        record = str(settings.DATA_DIR / "received.jsonl")
        commands["sink"] = [sys.executable, "manage.py", "webhook_sink", "--record", record]
    for name, command in commands.items():
        yield Part(name, command, answers.get(name))


def _has_receiver() -> bool:
    """The receiver verifies what the sample webhook sends; without samples there is nothing for it."""
    return bool(settings.EMBEDDED and settings.SINK_SECRET)


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    environment.pop("WEBHOOK_ALLOW_NETWORKS_FILE", None)  # it would win over what follows
    return environment | {
        "DATA_DIR": str(settings.DATA_DIR),
        "WEBHOOK_ALLOW_NETWORKS": ",".join(settings.WEBHOOK_ALLOW_NETWORKS),
    }


@contextmanager
def _start() -> Iterator[Start]:
    """How parts are started: as forks, where that can be."""
    if not forkserver.IS_POSSIBLE:
        yield start_interpreter
        return
    connections.close_all()
    caches.close_all()
    with forkserver.ForkServer("emailgistics.preloaded", folder=settings.BASE_DIR, environment=_environment()) as forks:
        yield forks.start


@contextmanager
def _lifeline() -> Iterator[dict[str, str]]:
    try:
        with lifeline.held(settings.DATA_DIR / "up.lock", wait_s=WAIT_FOR_ORPHANS_S) as variables:
            yield variables
    except lifeline.AlreadyHeldError as error:
        raise CommandError(
            f"Another `up` is running on {settings.DATA_DIR}: stop that one, or give this one a DATA_DIR of its own."
        ) from error


def _refuse_taken_ports() -> None:
    with ExitStack() as bound:  # all at once, so that two variables with the same port are found too
        _bind(bound, "HTTP_PORT", settings.HTTP_HOST, settings.HTTP_PORT)
        _bind(bound, "SMTP_PORT", settings.SMTP_HOST, settings.SMTP_PORT)
        if settings.LMTP_PORT:
            _bind(bound, "LMTP_PORT", LOOPBACK, settings.LMTP_PORT)
        if settings.EMBEDDED:
            _bind(bound, "SINK_PORT", LOOPBACK, settings.SINK_PORT)


def _bind(bound: ExitStack, variable: str, host: str, port: int) -> None:
    until = time.monotonic() + WAIT_FOR_ORPHANS_S
    while True:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = bound.enter_context(socket.socket(family, kind, protocol))
            # closed connections of the last start linger on the port, and are no reason to refuse it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)  # only a listening socket keeps the next one from the same port
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < until:
                time.sleep(0.2)
                continue
            why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error}"
            another = f"Give another one, as in {variable}={port % 65_535 + 1}."
            raise CommandError(f"{variable}: port {port} on {host} {why}. {another}") from error
        return


def _where_it_listens() -> str:
    places = [f"web {settings.BASE_URL}", f"smtp {settings.SMTP_HOST}:{settings.SMTP_PORT}"]
    if settings.LMTP_PORT:
        places.append(f"lmtp {LOOPBACK}:{settings.LMTP_PORT}")
    if _has_receiver():
        places.append(f"webhook receiver {receiver_url()}")
    return f"{', '.join(places)}; data in {settings.DATA_DIR}; Ctrl-C stops"


def _flush_stdout() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        # whoever read it is gone; that is no reason for mail to stop
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
