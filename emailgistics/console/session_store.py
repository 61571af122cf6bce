"""Sessions in the database: each knows whose it is, since when, and when it was seen last.

They end after SESSION_IDLE without a request, and after SESSION_COOKIE_AGE in any case. The session's id is in the
browser alone: the table has a digest of it.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

from emailgistics.console.models import Session

BEGUN, ADDRESS, AGENT = "begun", "address", "agent"  # in the session, written as it begins
DIGEST_LENGTH = 40  # of hexadecimal digits, which Django's column has: 160 bits


class SessionStore(DatabaseStore):
    row: Session | None = None  # as it was read, with its user and the user's preferences

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def exists(self, session_key: str) -> bool:
        return bool(super().exists(digest(session_key)))

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            Session.objects.filter(pk=digest(key)).delete()

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        now = timezone.now()
        begun_at = self.row.begun_at if self.row else now
        if BEGUN in data:
            begun_at = datetime.fromtimestamp(data[BEGUN], UTC)
        return Session(
            session_key=digest(self._get_or_create_session_key()),  # type: ignore[attr-defined]  # the stubs lack it
            session_data=self.encode(data),
            expire_date=begun_at + timedelta(seconds=settings.SESSION_COOKIE_AGE),
            **({"id": self.row.id} if self.row and self.row.pk == digest(self.session_key or "") else {}),
            user_id=data.get(SESSION_KEY),
            begun_at=begun_at,
            seen_at=now,
            address=data.get(ADDRESS, ""),
            agent=data.get(AGENT, ""),
        )

    def _get_session_from_db(self) -> Session | None:
        rows = Session.objects.select_related("user__preferences")
        now = timezone.now()
        row = rows.filter(pk=digest(self.session_key or ""), expire_date__gt=now).first()
        if row is None or row.is_over(now):
            self._session_key = None
            return None
        self.row = row
        return row


def digest(session_key: str) -> str:
    return sha256(session_key.encode()).hexdigest()[:DIGEST_LENGTH]
