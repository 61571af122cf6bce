"""What webhooks make of news from below."""

from typing import Any

from webhooks.services import fan_out


def on_email_processed(**news: Any) -> None:
    """Runs inside the transaction that stores the parsed email: both happen, or neither."""
    fan_out.fan_out_email(
        email=news["email"],
        recipients=news["recipients"],
        attachments=news["attachments"],
        octets=news["octets"],
        changed=news["changed"],
    )
