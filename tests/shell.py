"""The operator's shell of an installation: one process for many commands, where each would take a second to start."""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    stdout: str
    stderr: str


class Shell:
    """Starts with the first command. Its environment is the one of that moment."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self, *arguments: str) -> Done:
        """`manage.py` with these arguments."""
        with self._lock:
            self._process = self._process or self._start()
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.write(json.dumps(arguments).encode() + b"\n")
            self._process.stdin.flush()
            return Done(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=30)  # the end of its input is its end
            self._process = None

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.shell"]
        return subprocess.Popen(command, cwd=ROOT, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def serve() -> None:
    """A command a line comes in, and a line of what came of it goes out."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "emailgistics.settings"
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    for line in sys.stdin:
        answers.write(json.dumps(run(json.loads(line))) + "\n")
        answers.flush()


def run(arguments: Sequence[str]) -> tuple[int, str, str]:
    from django.core.management import execute_from_command_line

    code = 0
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            execute_from_command_line(["manage.py", *arguments])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return code, out.getvalue(), errors.getvalue()


if __name__ == "__main__":
    serve()
