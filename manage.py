#!/usr/bin/env python
"""The operator's door: `python manage.py help` lists the commands."""

import os
import signal
import sys

from emailgistics.lifeline import watch_supervisor


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emailgistics.settings")
    watch_supervisor()

    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 - after the watch has begun
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    # a mail server sends mail back to its author on 1 and keeps it on 75: what is wrong here is not the author's doing
    is_pipe = sys.argv[1:2] == ["receive_mail"]
    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Wrong setting: {error}\n")
        sys.exit(os.EX_TEMPFAIL if is_pipe else 1)
    except KeyboardInterrupt:
        sys.exit(os.EX_TEMPFAIL if is_pipe else 130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and not is_pipe:
            # who reads what is printed has read enough: `| head`. What is left of it goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        if not is_pipe:
            raise
        sys.stderr.write(f"4.3.0 Temporary failure here, please try again later ({type(error).__name__})\n")
        sys.exit(os.EX_TEMPFAIL)


if __name__ == "__main__":
    main()
