"""Django's rule for how long a password is, and what it tells of passwords that were set."""

from typing import Any

from django.contrib.auth.password_validation import MinimumLengthValidator

from emailgistics.common import journal

SET = "person.password_set"  # in the journal


class LongEnough(MinimumLengthValidator):
    def password_changed(self, password: str, user: Any) -> None:  # noqa: ARG002 - Django's signature
        """Django calls it once a new password is stored, whoever set it: the one before ends, after a restore too."""
        journal.note_person(SET, user)
