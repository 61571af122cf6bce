from django.apps import AppConfig


class MailboxesConfig(AppConfig):
    name = "mailboxes"

    def ready(self) -> None:
        # apps are loaded only now
        from emailgistics.common.idempotency import register_sight  # noqa: PLC0415
        from mailboxes.sight import sees_all  # noqa: PLC0415

        register_sight(sees_all)
