"""What webhooks make of news from below."""

from collections.abc import Sequence
from typing import Any

from mailboxes.signals import News
from webhooks.services import fan_out


def on_emails_processed(*, news: Sequence[News], **_: Any) -> None:
    """Runs inside the transaction that stores the parsed emails: both happen, or neither."""
    fan_out.fan_out(news)
