"""Forms that count once: a double click, a reload or a second tab makes nothing twice.

The token in a form is signed and names its user and purpose; spending it is a row, in the transaction of what the form
does, so that of two at once the database lets one through.
"""

import secrets
from datetime import timedelta

from django.core import signing
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from emailgistics.common.errors import ConflictError, RefusedError
from emailgistics.common.models import SpentFormToken

FIELD = "form_token"  # the name of the form's hidden field
LASTS = timedelta(hours=12)  # a form left open longer has to be opened again
KEPT_FOR = 2 * LASTS  # longer than any token lasts: what is forgotten could be spent again


class StaleFormError(RefusedError):
    """The token is too old, altered, another user's or another form's."""

    code = "stale_form"


class FormSpentError(ConflictError):
    """The form was sent before. `made` says what it made: an id or identifier, never a secret."""

    code = "form_spent"

    def __init__(self, message: str, *, made: str) -> None:
        super().__init__(message)
        self.made = made


def new_token(*, user_id: object, purpose: str) -> str:
    return signing.dumps([secrets.token_urlsafe(18), str(user_id)], salt=_salt(purpose))


def refuse_if_spent(token: str, *, user_id: object, purpose: str) -> None:
    """For before the form is read: who sends it again learns that, not what is wrong with it by now.

    Raises StaleFormError, FormSpentError. It reserves nothing; `spend` decides.
    """
    spent = SpentFormToken.objects.filter(nonce=_nonce(token, user_id=user_id, purpose=purpose)).first()
    if spent is not None:
        raise _spent(spent)


def spend(token: str, *, user_id: object, purpose: str, made: str = "") -> SpentFormToken:
    """Call it inside the transaction of what the form does, before the work: who comes second waits here, then leaves.

    What is made is often known only afterwards: set `made` on the row that comes back, and save it, in the same
    transaction. Raises StaleFormError, FormSpentError.
    """
    if not connection.in_atomic_block:
        # it would stay spent though what the form does fails
        raise transaction.TransactionManagementError("one_use.spend belongs into the transaction of what the form does")
    nonce = _nonce(token, user_id=user_id, purpose=purpose)
    now = timezone.now()
    try:
        with transaction.atomic():
            spent = SpentFormToken.objects.create(nonce=nonce, spent_at=now, made=made)
    except IntegrityError as error:
        raise _spent(SpentFormToken.objects.get(nonce=nonce)) from error
    SpentFormToken.objects.filter(spent_at__lt=now - KEPT_FOR).delete()
    return spent


def _spent(row: SpentFormToken) -> FormSpentError:
    return FormSpentError("This form was sent before; it counts once.", made=row.made)


def _nonce(token: str, *, user_id: object, purpose: str) -> str:
    try:
        nonce, user = signing.loads(token, salt=_salt(purpose), max_age=LASTS)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise StaleFormError("This form is out of date: open it again and fill it in once more.") from error
    if user != str(user_id):
        raise StaleFormError("This form was opened by somebody else: open it again.")
    return str(nonce)


def _salt(purpose: str) -> str:
    return f"emailgistics.one_use:{purpose}"
