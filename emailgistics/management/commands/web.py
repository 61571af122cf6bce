import os

from django.conf import settings
from django.core.management.base import BaseCommand
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from emailgistics.common import selftest

# One process, because SQLite has one writer and a supervisor can restart it; more of them is `web` on more machines.
THREADS = min(8, 2 * (os.cpu_count() or 1) + 1)  # requests at once: a database connection each
WAITING = 256  # further ones are kept, then connections wait in the backlog


class Command(BaseCommand):
    help = "Serve the API and the console on HTTP_HOST:HTTP_PORT.  Example: manage.py web"
    requires_system_checks = "__all__"

    def handle(self, *args: object, **options: object) -> None:
        selftest.wait_and_refuse()
        Server(
            "emailgistics.wsgi:served",
            factory=True,
            address=settings.HTTP_HOST,
            port=settings.HTTP_PORT,
            interface=Interfaces.WSGI,
            workers=1,
            blocking_threads=THREADS,
            backpressure=WAITING,
            websockets=False,
            working_dir=settings.BASE_DIR,
            workers_kill_timeout=10,  # less than the supervisor waits
            log_level=LogLevels.warning,
            log_dictconfig={"handlers": {}, "loggers": {"_granian": {"propagate": True}}},  # to our own handler
        ).serve()
