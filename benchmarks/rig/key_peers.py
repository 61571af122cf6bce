"""What people put in front of a DRF view today, each on two views, in a project of their own: `rows` reads and shows
the same rows as ours, `constant` shows the same JSON and reads nothing.

Installed from the package index into an environment of its own; settings are what `startproject` writes, with JSON as
the only renderer and connections to the database that stay.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.rig import REDIS_URL, database, free_port
from benchmarks.rig.django_webhook import parts_of
from benchmarks.rig.processes import cpu_seconds, descendants, wait_for

PACKAGES = (
    "djangorestframework-api-key==3.1.0",
    "django-rest-knox==5.1.0",
    "django-ratelimit==4.1.0",
    *(f"{name}=={version(name)}" for name in ("django", "djangorestframework", "granian", "redis")),
    f"psycopg[binary]=={version('psycopg')}",
)

SETTINGS = """
import os
SECRET_KEY = "only-for-benchmarks"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "rest_framework", "rest_framework_api_key", "knox", "shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "shop.urls"
parts = os.environ["PEER_DATABASE"].split(" ")
DATABASES = {"default": dict(zip(("ENGINE", "HOST", "PORT", "USER", "NAME"), parts)) | {"CONN_MAX_AGE": None}}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["PEER_CACHE"]}}
SILENCED_SYSTEM_CHECKS = ["django_ratelimit.W001", "admin.E403"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
"""
MODELS = """
from django.db import models
class Domain(models.Model):
    id = models.CharField(max_length=40, primary_key=True)
    created_at = models.DateTimeField()
    name = models.CharField(max_length=255)
    active = models.BooleanField()
    test = models.BooleanField()
    subdomains = models.BooleanField()
    default_mailbox_id = models.CharField(max_length=40, null=True)
    verified_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=20)
"""
URLS = """
import json, os
from django.urls import path
from django.utils.decorators import method_decorator
from django_ratelimit.decorators import ratelimit
from knox.auth import TokenAuthentication
from rest_framework.generics import ListAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer
from rest_framework.views import APIView
from rest_framework_api_key.permissions import HasAPIKey
from shop.models import Domain

CONSTANT = json.loads(open(os.environ["PEER_JSON"]).read())

class DomainSerializer(ModelSerializer):
    class Meta:
        model = Domain
        fields = ["id", "created_at", "name", "active", "test", "subdomains", "default_mailbox_id", "verified_at",
                  "status"]

class Pages(PageNumberPagination):
    page_size = 25
    def get_paginated_response(self, data):
        page = self.page
        return Response({"data": data, "pagination": {
            "page": page.number, "limit": self.page_size, "total": page.paginator.count, "total_capped": False,
            "has_more": page.has_next(), "next": self.get_next_link(), "previous": self.get_previous_link(),
            "next_cursor": None}})

class Rows(ListAPIView):
    queryset = Domain.objects.order_by("-pk")
    serializer_class = DomainSerializer
    pagination_class = Pages

class Constant(APIView):
    def get(self, request):
        return Response(CONSTANT)

class ApiKey:
    permission_classes = [HasAPIKey]

class Knox:
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

def limited(rate):
    return method_decorator(ratelimit(key="header:authorization", rate=rate, block=True))

class Limited:
    @limited("1000000/m")
    @limited("10000000/h")
    @limited("100000000/d")
    def dispatch(self, *args, **kwargs):
        return super().dispatch(*args, **kwargs)

class Open:
    pass

urlpatterns = [
    path(f"{peer}/{base}", type(f"{peer}_{base}", (guard, view), {}).as_view())
    for peer, guard in {"anonymous": Open, "drf_api_key": ApiKey, "knox": Knox, "three_ratelimits": Limited}.items()
    for base, view in {"rows": Rows, "constant": Constant}.items()
]
"""
WSGI = """
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""
FILL = """
import json, os
import django
django.setup()
from django.contrib.auth.models import User
from knox.models import get_token_model
from rest_framework_api_key.models import APIKey
from shop.models import Domain
Domain.objects.bulk_create(Domain(**row) for row in json.load(open(os.environ["PEER_JSON"]))["data"])
_, api_key = APIKey.objects.create_key(name="bench")
_, token = get_token_model().objects.create(user=User.objects.create_user("ada"))
print(json.dumps({"anonymous": "", "drf_api_key": f"Authorization: Api-Key {api_key}",
                  "knox": f"Authorization: Token {token}", "three_ratelimits": "Authorization: Bearer x"}))
"""


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds, descendants(self.pid)))


@contextlib.contextmanager
def served(folder: Path, body: dict[str, Any]) -> Iterator[tuple[Server, dict[str, str]]]:
    """The project with one worker thread, and for each peer the header that opens its views."""
    home = folder / "peers"
    (home / "shop").mkdir(parents=True)
    for name, text in (
        ("peer_settings.py", SETTINGS),
        ("peer_fill.py", FILL),
        ("peer_wsgi.py", WSGI),
        ("shop/__init__.py", ""),
        ("shop/models.py", MODELS),
        ("shop/urls.py", URLS),
        ("body.json", json.dumps(body)),
    ):
        (home / name).write_text(text)
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    python = home / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    with database("peer") as url:
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(home), "PYTHONWARNINGS": "ignore"}
        env |= {"PEER_DATABASE": parts_of(url), "PEER_CACHE": REDIS_URL, "PEER_JSON": str(home / "body.json")}
        env |= {"DJANGO_SETTINGS_MODULE": "peer_settings"}
        subprocess.run([python, "-m", "django", "makemigrations", "shop", "-v0"], cwd=home, env=env, check=True)
        subprocess.run([python, "-m", "django", "migrate", "-v0"], cwd=home, env=env, check=True)
        filled = subprocess.run([python, "peer_fill.py"], cwd=home, env=env, check=True, capture_output=True, text=True)
        with one_worker(python, "peer_wsgi:application", cwd=home, env=env) as server:
            yield server, json.loads(filled.stdout)


@contextlib.contextmanager
def one_worker(python: Path | str, application: str, *, cwd: Path, env: dict[str, str]) -> Iterator[Server]:
    """A Granian that serves the application with one process and one thread."""
    port = free_port()
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-ws"]
    command = [str(python), "-m", "granian", *options, "--blocking-threads", "1", "--log-level", "error", application]
    with subprocess.Popen(command, cwd=cwd, env=env) as process:
        try:
            wait_for(port)
            yield Server(port, process.pid)
        finally:
            process.terminate()
