from typing import Any

from django.apps import AppConfig, apps
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_migrate

from emailgistics.common.roles import GROUPS
from emailgistics.common.sealed import SealedColumn, register_column


class ConsoleConfig(AppConfig):
    name = "emailgistics.console"
    label = "console"

    def ready(self) -> None:
        from emailgistics.console import names, sessions  # noqa: PLC0415 - they need models

        names.give_names()
        user_logged_in.connect(sessions.begin)
        register_column(SealedColumn("console.Authenticator", "sealed_secret", "secrets of authenticators"))
        # auth's: its table has to be there
        post_migrate.connect(make_groups, sender=apps.get_app_config("auth"))


class ConsoleAdminConfig(SimpleAdminConfig):
    """Django's admin with our site. Only `urls` loads the pages of the apps: mail workers need none of them."""

    default_site = "emailgistics.console.site.ConsoleSite"


def make_groups(*, using: str, apps: Any = apps, **_: object) -> None:
    """The groups that mean something are always there: also in a database that was emptied.

    apps is the state that migrate has reached; `flush` sends the signal without it.
    """
    try:
        groups = apps.get_model("auth", "Group").objects
    except LookupError:  # its table is not there yet, or not any more
        return
    for name in GROUPS:
        groups.using(using).get_or_create(name=name)
