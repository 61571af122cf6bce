from ipaddress import ip_network
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

SOUND = {"ALLOWED_HOSTS": ["mail.example.com"], "TRUSTED_PROXIES": [], "ALERT_EMAILS": [], "SMTP_TLS_CERT": ""}


def told(settings: Settings, **values: Any) -> list[str]:
    for name, value in {**SOUND, **values}.items():
        setattr(settings, name, value)
    return [
        str(one.id) for one in run_checks(tags=["security"], include_deployment_checks=True) if "common." in str(one.id)
    ]


@pytest.mark.parametrize(
    "values, codes",
    [
        ({}, []),
        ({"ALLOWED_HOSTS": ["*"]}, ["common.W001"]),
        ({"TRUSTED_PROXIES": [ip_network("10.0.0.0/8")]}, []),
        ({"TRUSTED_PROXIES": [ip_network("0.0.0.0/0")]}, ["common.W002"]),
        ({"TRUSTED_PROXIES": [ip_network("::/0")]}, ["common.W002"]),
        ({"ALERT_EMAILS": ["ada@example.com"], "EMAIL_URL": ""}, ["common.W003"]),
        ({"ALERT_EMAILS": ["ada@example.com"], "EMAIL_URL": "smtp://mail.example.com"}, []),
        ({"SMTP_TLS_CERT": "/nowhere/cert.pem"}, ["common.W004"]),
        ({"EMBEDDED": False, "REDIS_URL": ""}, ["common.W005"]),
        ({"EMBEDDED": False, "REDIS_URL": "redis://redis.example.com"}, []),
    ],
)
def test_what_others_cannot_rely_on_is_told(settings: Settings, values: dict[str, Any], codes: list[str]) -> None:
    assert told(settings, **values) == codes
