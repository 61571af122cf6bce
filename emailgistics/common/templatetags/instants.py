"""`{% load instants %}`, then `{{ email.received_at|instant }}`."""

from datetime import datetime

from django import template
from django.utils.safestring import SafeString

from emailgistics.common import instants

register = template.Library()


@register.filter
def instant(at: datetime | None, style: str = "DATETIME_FORMAT") -> SafeString | str:
    return instants.instant(at, style=style)
