"""The web process: Granian loads `application`."""

import os

from django.core.wsgi import get_wsgi_application

from emailgistics.lifeline import watch_supervisor

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emailgistics.settings")
watch_supervisor()
application = get_wsgi_application()
