"""The API Access page as a browser without scripts has it: who is signed in, forms filled in, the key in an answer."""

import re
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apikeys.models import ApiKey

LIST = "/admin/apikeys/apikey/"
ADD = f"{LIST}add/"
WHOLE_KEY = re.compile(r"emgk_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}")


def make_user(name: str, **fields: Any) -> User:
    user, _ = User.objects.get_or_create(username=name, defaults=fields)
    return user


def client_for(user: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


def token_in(client: Client) -> str:
    return form_token(client.get(ADD).content.decode())


def form_token(page: str) -> str:
    match = re.search(r'name="form_token" value="([^"]+)"', page)
    assert match, page
    return match[1]


def filled_in(token: str, **changes: Any) -> dict[str, Any]:
    """A form that makes a key; None leaves a field out."""
    values = {
        "form_token": token, "name": "Zapier", "expiry": "90", "reach": "chosen", "mailboxes": ["support@example.com"],
        "scopes": ["emails:read", "emails:content"],
    } | changes  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}


def made(answer: Any) -> tuple[ApiKey, str]:
    page = answer.content.decode()
    assert answer.status_code == 200
    keys = set(WHOLE_KEY.findall(page))
    assert len(keys) == 1, page
    (plaintext,) = keys
    return ApiKey.objects.get(identifier=plaintext[:15]), plaintext


def address_of(key: ApiKey, verb: str) -> str:
    return reverse(f"admin:apikeys_apikey_{verb}", args=[key.pk])


def errors_in(answer: Any) -> set[str]:
    assert answer.status_code == 200
    return set(answer.context["form"].errors)
