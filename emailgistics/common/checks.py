"""`manage.py check --database default`: whether the secrets are this database's. Parts ask `selftest` as they start."""

import sys
from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from emailgistics.common import selftest


@register(Tags.database)
def secrets_are_those_of_the_database(databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:
    if not databases or sys.argv[1:2] == ["migrate"]:
        return []  # tables are made with whatever secrets there are
    try:
        selftest.refuse_wrong_secrets()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="common.E001")]
    except OperationalError as error:
        return [Error(f"The database cannot be asked about secrets: {str(error).strip()}", id="common.E002")]
    return []
