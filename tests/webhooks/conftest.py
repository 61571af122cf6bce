import pytest
from pytest_django import Settings


@pytest.fixture
def loopback_allowed(settings: Settings) -> None:
    """What an operator allows with WEBHOOK_ALLOW_NETWORKS=127.0.0.1/32."""
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]
