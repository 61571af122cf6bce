"""The peer that people use today: django-webhook, which sends from Celery tasks.

Installed from the package index into an environment of its own; a small project with one model is written beside it.
Every saved row is one webhook with a body of the size of ours.
"""

import os
import statistics
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

from benchmarks.rig import REDIS_URL, Sink, database

WORKERS = 2
EVENTS = 300
PACKAGES = ("django-webhook==0.0.15", "django<5.3", "celery[redis]", "packaging", "psycopg[binary]")

SETTINGS = """
import os
SECRET_KEY = "only-for-benchmarks"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_webhook", "shop"]
parts = os.environ["PEER_DATABASE"].split(" ")
DATABASES = {"default": dict(zip(("ENGINE", "HOST", "PORT", "USER", "NAME"), parts))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DJANGO_WEBHOOK = {"MODELS": ["shop.Thing"]}
"""
MODELS = """
from django.db import models
class Thing(models.Model):
    text = models.TextField()
"""
CELERY = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "peer_settings")
from celery import Celery
app = Celery("peer", broker=os.environ["PEER_BROKER"])
app.set_default()
import django
django.setup()
import django_webhook.tasks
"""
SEND = """
import sys
import peer_celery
from django.core.management import call_command
from django_webhook.models import Webhook, WebhookTopic
from shop.models import Thing
url, count = sys.argv[1], int(sys.argv[2])
if not Webhook.objects.exists():
    topic, _ = WebhookTopic.objects.get_or_create(name="shop.Thing/create")
    Webhook.objects.create(url=url).topics.add(topic)
for _ in range(count):
    Thing.objects.create(text="x" * 4000)
"""


def deliveries_per_second(folder: Path, sink: Sink, *, runs: int = 3) -> float:
    """Median over the runs: from the first saved row to the last arrival."""
    home = folder / "peer"
    (home / "shop").mkdir(parents=True)
    for name, text in (
        ("peer_settings.py", SETTINGS),
        ("peer_celery.py", CELERY),
        ("peer_send.py", SEND),
        ("shop/__init__.py", ""),
        ("shop/models.py", MODELS),
    ):
        (home / name).write_text(text)
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    python = home / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    with database("peer") as url:
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(home), "PYTHONWARNINGS": "ignore"}
        env |= {"PEER_DATABASE": parts_of(url), "PEER_BROKER": REDIS_URL, "DJANGO_SETTINGS_MODULE": "peer_settings"}
        django = [python, "-m", "django"]
        subprocess.run([*django, "makemigrations", "shop", "-v0"], cwd=home, env=env, check=True)
        subprocess.run([*django, "migrate", "--run-syncdb", "-v0"], cwd=home, env=env, check=True)
        celery = [python, "-m", "celery", "-A", "peer_celery", "worker", "-c", str(WORKERS), "--loglevel", "ERROR"]
        with subprocess.Popen(celery, cwd=home, env=env) as worker:
            try:
                time.sleep(5)
                rates = [_one_run(python, home, env, sink) for _ in range(runs)]
            finally:
                worker.terminate()
    return round(statistics.median(rates), 1)


def _one_run(python: Path, home: Path, env: dict[str, str], sink: Sink) -> float:
    sink.arrivals()
    started = time.time()
    subprocess.run([python, "peer_send.py", f"{sink.url}/peer", str(EVENTS)], cwd=home, env=env, check=True)
    until = started + 120
    while sink.count() < EVENTS and time.time() < until:
        time.sleep(0.1)
    arrived = sorted(sink.arrivals().values())
    return len(arrived) / (arrived[-1] - arrived[0])


def parts_of(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    engine = "django.db.backends.postgresql"
    return " ".join((engine, parts.hostname or "", str(parts.port or 5432), parts.username or "", parts.path[1:]))
