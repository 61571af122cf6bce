from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "emailgistics.common"
    label = "common"
