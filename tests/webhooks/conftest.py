import os
import shutil

import pytest
from pytest_django import Settings


@pytest.fixture
def loopback_allowed(settings: Settings) -> None:
    """What an operator allows with WEBHOOK_ALLOW_NETWORKS=127.0.0.1/32."""
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


@pytest.fixture
def node() -> str:
    """The path of Node.js: the documented way of verifying is written for it."""
    path = shutil.which("node")
    if path is None:
        assert os.environ.get("REQUIRE_SERVICES") != "1", "node is needed here"
        pytest.skip("Node.js is not installed")
    return path
