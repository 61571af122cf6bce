import os
import shutil
import ssl
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from tests.webhooks.certificates import write_authority


@pytest.fixture
def loopback_allowed(settings: Settings) -> None:
    """What an operator allows with WEBHOOK_ALLOW_NETWORKS=127.0.0.1/32."""
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


@pytest.fixture
def admin() -> Client:
    """A system administrator's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("grace"))
    return client


@pytest.fixture
def node() -> str:
    """The path of Node.js: the documented way of verifying is written for it."""
    path = shutil.which("node")
    if path is None:
        assert os.environ.get("REQUIRE_SERVICES") != "1", "node is needed here"
        pytest.skip("Node.js is not installed")
    return path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of 127.0.0.1 and hooks.example.com, in one file, for WEBHOOK_CA_BUNDLE too."""
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    write_authority(path)
    return path


@pytest.fixture
def tls(authority: Path) -> ssl.SSLContext:
    """Of a receiver."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority)
    return context
