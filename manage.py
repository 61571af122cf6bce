#!/usr/bin/env python
"""The operator's door: `python manage.py help` lists the commands."""

import os
import sys

from emailgistics.lifeline import watch_supervisor


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emailgistics.settings")
    watch_supervisor()

    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 - after the watch has begun
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Wrong setting: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
