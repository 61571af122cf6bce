"""What the parts of `up` need, loaded: the fork server imports this, and they are its forks.

Only what costs time or memory is here. None of it starts a thread or opens anything.
"""

from importlib import import_module

import django

from emailgistics.celery import app

COMMON = (
    "celery.app.log",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.backends.base",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.concurrency.solo",
    "celery.worker.autoscale",
    "celery.worker.consumer",
    "emailgistics.beat",
    "emailgistics.management.commands.web",
    "emailgistics.wsgi",
    "mailboxes.management.commands.smtpd",
    "webhooks.management.commands.webhook_sink",
)

django.setup()
for name in COMMON:
    import_module(name)
app.loader.import_default_modules()  # the tasks
