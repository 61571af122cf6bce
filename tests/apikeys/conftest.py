import pytest
from django.test import Client
from pytest_django import Settings

from tests.apikeys.pages import client_for, make_user


@pytest.fixture
def admin(db: None) -> Client:
    return client_for(make_user("ada", is_superuser=True, is_staff=True))


@pytest.fixture
def loopback_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]
