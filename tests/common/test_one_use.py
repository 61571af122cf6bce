import threading
import time
from datetime import timedelta

import pytest
from django.core import signing
from django.db import connections, transaction
from django.utils import timezone

from emailgistics.common.models import SpentFormToken
from emailgistics.common.one_use import (
    KEPT_FOR,
    LASTS,
    FormSpentError,
    StaleFormError,
    new_token,
    refuse_if_spent,
    spend,
)

FORM = {"user_id": 7, "purpose": "apikey"}


def spend_in_transaction(token: str, *, made: str = "") -> None:
    with transaction.atomic():
        spend(token, **FORM, made=made)


@pytest.mark.django_db
def test_a_form_counts_once_and_tells_what_it_made() -> None:
    token = new_token(**FORM)
    refuse_if_spent(token, **FORM)  # looking spends nothing
    spend_in_transaction(token, made="emgk_0123456789")
    for again in (refuse_if_spent, spend):
        with pytest.raises(FormSpentError) as error, transaction.atomic():
            again(token, **FORM)
        assert error.value.made == "emgk_0123456789"
    assert SpentFormToken.objects.count() == 1


@pytest.mark.django_db
def test_what_was_made_can_be_told_after_the_work() -> None:
    token = new_token(**FORM)
    with transaction.atomic():
        spent = spend(token, **FORM)
        spent.made = "emgk_9876543210"
        spent.save(update_fields=["made"])
    with pytest.raises(FormSpentError) as error:
        refuse_if_spent(token, **FORM)
    assert error.value.made == "emgk_9876543210"


@pytest.mark.django_db
def test_every_form_is_another_one() -> None:
    tokens = {new_token(**FORM) for _ in range(20)}
    assert len(tokens) == 20
    for token in tokens:
        spend_in_transaction(token)


@pytest.mark.django_db
def test_a_form_whose_work_fails_can_be_sent_again() -> None:
    token = new_token(**FORM)
    with transaction.atomic():
        spend(token, **FORM)
        transaction.set_rollback(True)
    spend_in_transaction(token)


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["another user", "another purpose", "altered", "cut", "empty", "a list", "NUL"])
def test_a_token_is_for_its_user_and_purpose(how: str) -> None:
    token, form = new_token(**FORM), dict(FORM)
    match how:
        case "another user":
            form["user_id"] = 8
        case "another purpose":
            form["purpose"] = "webhook"
        case "altered":
            token = ("A" if token[0] != "A" else "B") + token[1:]
        case "cut":
            token = token[:-1]
        case "empty":
            token = ""
        case "a list":
            token = signing.dumps(["a", "b", "c"], salt="emailgistics.one_use:apikey")
        case "NUL":
            token = f"\0{token}"
    for use in (refuse_if_spent, spend):
        with pytest.raises(StaleFormError, match="open it again"), transaction.atomic():
            use(token, **form)
    assert not SpentFormToken.objects.exists()
    spend_in_transaction(new_token(**FORM))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("age", "is_good"), [(LASTS - timedelta(minutes=1), True), (LASTS + timedelta(minutes=1), False)]
)
def test_a_form_left_open_too_long_is_out_of_date(
    age: timedelta, is_good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, opened = new_token(**FORM), time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: opened + age.total_seconds())
    if is_good:
        return spend_in_transaction(token)
    with pytest.raises(StaleFormError, match="out of date"):
        spend_in_transaction(token)
    return None


@pytest.mark.django_db
def test_spent_ones_are_forgotten_once_no_token_lasts_that_long() -> None:
    now = timezone.now()
    for nonce, age in (("old", KEPT_FOR + timedelta(seconds=1)), ("young", KEPT_FOR - timedelta(minutes=1))):
        SpentFormToken.objects.create(nonce=nonce, spent_at=now - age)
    spend_in_transaction(new_token(**FORM))
    assert SpentFormToken.objects.filter(nonce__in=["old", "young"]).values_list("nonce", flat=True).get() == "young"
    assert KEPT_FOR > LASTS


@pytest.mark.django_db(transaction=True)
def test_it_has_to_be_spent_in_the_transaction_of_the_work() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        spend(new_token(**FORM), **FORM)
    assert not SpentFormToken.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_the_database_lets_one_through() -> None:
    token, start = new_token(**FORM), threading.Barrier(6)
    outcomes: list[str] = []

    def send(number: int) -> None:
        start.wait()
        try:
            spend_in_transaction(token, made=f"thing {number}")
            outcomes.append(f"thing {number}")
        except FormSpentError as spent:
            outcomes.append(f"refused: {spent.made}")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (made,) = [outcome for outcome in outcomes if not outcome.startswith("refused")]
    assert sorted(outcomes) == sorted([made, *[f"refused: {made}"] * 5])
