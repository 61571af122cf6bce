"""A Postfix of a test's own, which relays to an installation, and keeps what it cannot deliver.

Its configuration, queue and log are in a folder of its own, it listens on a free port of 127.0.0.1, and nothing that it
takes leaves the machine. It is what Debian installs, started and stopped by its own command.
"""

import os
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.installation import ROOT, answers, free_ports, wait_for

SBIN = f"{os.environ['PATH']}:/usr/sbin:/sbin"
USER = "nobody"  # who runs the pipe's command: Postfix lets neither root nor itself do that
STARTED_WITHIN_S = 30

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example.net
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
local_header_rewrite_clients =
disable_dns_lookups = yes
default_transport = error:nothing leaves this machine
transport_maps = inline:{{ {transports} }}
relay_domains = {domains}
smtpd_relay_restrictions = permit_mynetworks, reject
message_size_limit = 0
notify_classes =
emailgistics_destination_recipient_limit = 1
"""
# as in Debian's, without what is not needed; nothing in a chroot, which would need files of the system's
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
{pipe}
"""


def why_not() -> str | None:
    """What is missing for one here, if anything."""
    if shutil.which("postfix", path=SBIN) is None:
        return "Postfix is not installed"
    return "only root can start Postfix" if os.geteuid() != 0 else None


class Postfix:
    def __init__(self, *, transports: Mapping[str, str], environment: Mapping[str, str]) -> None:
        """transports: by domain, as in transport_maps. environment: of receive_mail, for the transport emailgistics."""
        (self.port,) = free_ports(1)
        self._transports = transports
        self._environment = environment
        self._folder = Path()

    def __enter__(self) -> Self:
        # not in a folder of ours, which other users may not enter
        self._folder = Path(tempfile.mkdtemp(prefix="emailgistics-postfix-"))
        self._folder.chmod(0o755)
        self._door = Door(self._piped)
        for name, owner in (("etc", "root"), ("queue", "root"), ("data", "postfix"), ("piped", USER)):
            (self._folder / name).mkdir()
            (self._folder / name).chmod(0o755)  # whatever our umask is
            shutil.chown(self._folder / name, owner)
        listed = ", ".join(f"{{ {domain} = {transport} }}" for domain, transport in self._transports.items())
        places = {"folder": self._folder, "transports": listed, "domains": " ".join(self._transports)}
        self.set_environment(self._environment)
        (self._folder / "etc" / "main.cf").write_text(MAIN.format(**places))
        (self._folder / "etc" / "master.cf").write_text(MASTER.format(port=self.port, pipe=self._pipe()))
        self._run("postfix", "start")
        wait_for(lambda: answers(self.port), within_s=STARTED_WITHIN_S, what=f"Postfix: {self.log()}")
        return self

    def __exit__(self, *_: object) -> None:
        self._run("postfix", "stop")
        self._door.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def set_environment(self, environment: Mapping[str, str]) -> None:
        """From now on, of receive_mail."""
        text = "".join(f"{name}='{value}'\n" for name, value in environment.items())
        (self._folder / "env.new").write_text(text)
        (self._folder / "env.new").rename(self._folder / "env")  # several pipes may be reading it

    def queue(self) -> str:
        """What is kept, and why; as postqueue -p shows it."""
        return self._run("postqueue", "-p")

    @property
    def is_empty(self) -> bool:
        return "Mail queue is empty" in self.queue()

    def flush(self) -> None:
        """Tries to deliver what is kept."""
        self._run("postqueue", "-f")

    def log(self) -> str:
        path = self._folder / "log"
        return path.read_text() if path.exists() else ""

    def _run(self, program: str, *arguments: str) -> str:
        command = [program, "-c", str(self._folder / "etc"), *arguments]
        done = subprocess.run(command, env={"PATH": SBIN}, umask=0o022, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr, self.log())
        return done.stdout

    # --- the pipe

    def _pipe(self) -> str:
        """The documented lines for master.cf, with a command that USER may run, whatever he may read of the code."""
        command = self._folder / "pipe"
        command.write_text(KNOCK.format(folder=self._folder / "piped", port=self._door.port))
        command.chmod(0o755)
        (line,) = re.findall(r"^    (emailgistics unix .*\n(?:      .*\n)+)", documented(), re.MULTILINE)
        return (
            str(line)
            .replace("/usr/local/bin/emailgistics-pipe", str(command))
            .replace("emailgistics null", f"{USER} null")
        )

    def _piped(self, mail: Path, arguments: Sequence[str]) -> tuple[int, bytes]:
        """The documented script, with the paths of this installation."""
        (found,) = re.findall(r"^    (#!/bin/sh\n(?:    .*\n)+)", documented(), re.MULTILINE)
        script = re.sub(r"^    ", "", found, flags=re.MULTILINE)
        script = script.replace("/opt/emailgistics/.venv/bin/python", sys.executable)
        script = script.replace("/etc/emailgistics.env", str(self._folder / "env")).replace(
            "/opt/emailgistics", str(ROOT)
        )
        with mail.open("rb") as octets:
            done = subprocess.run(
                ["sh", "-c", script, "emailgistics-pipe", *arguments],
                env={},
                stdin=octets,
                capture_output=True,
                check=False,
            )
        mail.unlink()
        return done.returncode, done.stderr


def documented() -> str:
    return (ROOT / "docs" / "how-to" / "postfix.md").read_text()


# Somebody who may neither read this code nor run this Python hands his mail to somebody who may.
KNOCK = """\
#!/bin/bash
mail=$(mktemp {folder}/XXXXXX) && cat >"$mail" && exec 3<>/dev/tcp/127.0.0.1/{port} || exit 75
printf '%s\\n' "$mail" $# "$@" >&3
read -r status <&3
cat <&3 >&2
exit "$status"
"""


class Door:
    """Where KNOCK knocks: the call is made with the file of the mail and the arguments; it gives status and stderr."""

    def __init__(self, call: Any) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                lines = (line.decode(errors="surrogateescape").removesuffix("\n") for line in self.rfile)
                mail, count = Path(next(lines)), int(next(lines))
                status, said = call(mail, [next(lines) for _ in range(count)])
                self.wfile.write(b"%d\n%b" % (status, said))

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
