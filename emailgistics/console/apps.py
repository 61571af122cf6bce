from typing import Any

from django.apps import AppConfig, apps
from django.contrib.admin.apps import SimpleAdminConfig
from django.db.models.signals import post_migrate

from emailgistics.common.access import SYSTEM_ADMINISTRATORS


class ConsoleConfig(AppConfig):
    name = "emailgistics.console"
    label = "console"

    def ready(self) -> None:
        # auth's: an app without models, like this one, gets no such signal
        post_migrate.connect(make_group, sender=apps.get_app_config("auth"))


class ConsoleAdminConfig(SimpleAdminConfig):
    """Django's admin with our site. Only `urls` loads the pages of the apps: mail workers need none of them."""

    default_site = "emailgistics.console.site.ConsoleSite"


def make_group(*, using: str, apps: Any = apps, **_: object) -> None:
    """The group of the system administrators is always there: also in a database that was emptied.

    apps is the state that migrate has reached; `flush` sends the signal without it.
    """
    try:
        groups = apps.get_model("auth", "Group").objects
    except LookupError:  # its table is not there yet, or not any more
        return
    groups.using(using).get_or_create(name=SYSTEM_ADMINISTRATORS)
