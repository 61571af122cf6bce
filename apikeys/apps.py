from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    name = "apikeys"
    verbose_name = "API access"

    def ready(self) -> None:
        from apikeys import permissions  # noqa: F401, PLC0415 - registers apikeys.E001, before any view is loaded
