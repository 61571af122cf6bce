from datetime import timedelta

import pytest
from django.utils import timezone

from apikeys.models import EXPIRES_SOON, ApiKey
from apikeys.services import revoke_api_key
from tests.apikeys.factories import make_expired_key, make_key
from tests.factories import in_days

pytestmark = pytest.mark.django_db

Standing = ApiKey.Standing


@pytest.mark.parametrize(("before_expiry", "standing"), [
    (EXPIRES_SOON + timedelta(microseconds=1), Standing.ACTIVE), (EXPIRES_SOON, Standing.EXPIRES_SOON),
    (timedelta(microseconds=1), Standing.EXPIRES_SOON), (timedelta(0), Standing.EXPIRED),
    (-EXPIRES_SOON, Standing.EXPIRED),
])  # fmt: skip
def test_a_key_stands_somewhere_and_the_database_agrees(before_expiry: timedelta, standing: ApiKey.Standing) -> None:
    key, _ = make_key(expires_at=in_days(60))
    now = key.expires_at - before_expiry
    assert key.standing(now) is standing
    assert [other for other in Standing if ApiKey.objects.of_standing(other, now=now).exists()] == [standing]


def test_a_revoked_key_is_revoked_whatever_its_expiry_is() -> None:
    now = timezone.now()
    for key, _ in (make_key(), make_key(expires_at=in_days(1)), make_expired_key()):
        revoke_api_key(key)
        assert key.standing(now) is Standing.REVOKED
    assert [ApiKey.objects.of_standing(standing, now=now).count() for standing in Standing] == [0, 0, 0, 3]


def test_in_force_is_neither_revoked_nor_expired() -> None:
    kept, _ = make_key()
    make_expired_key()
    revoked, _ = make_key()
    revoke_api_key(revoked)
    assert list(ApiKey.objects.in_force()) == [kept]
