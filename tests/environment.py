"""Loaded before anything else (`-p tests.environment`): a data folder of the run's own, and nothing from the shell.

`TEST_ON=postgres` runs the suite on PostgreSQL and Redis; otherwise it runs on SQLite and the broker of files.
"""

import atexit
import os
import shutil
import tempfile
from urllib.parse import urlsplit, urlunsplit

POSTGRES_URL = os.environ.get("TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/test")
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
# run by several processes at once (xdist), each has a Redis database of its own, as it has a PostgreSQL one
worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
if worker:
    _parts = urlsplit(REDIS_URL)
    REDIS_URL = urlunsplit(_parts._replace(path=f"/{int(_parts.path.strip('/') or 0) + worker}"))
ON_POSTGRES = os.environ.get("TEST_ON") == "postgres"
# tests share one address, and try wrong keys, passwords and forms by the hundred; those about limits set their own
NO_THROTTLES = dict.fromkeys(
    ("KEY_FAILURES_PER_MINUTE", "SIGN_IN_FAILURES_PER_MINUTE", "KEY_FORMS_PER_MINUTE", "DOCS_PER_MINUTE"), "1000000"
)

for name in (
    "DATABASE_URL",
    "REDIS_URL",
    "WEBHOOK_ALLOW_NETWORKS",
    "WEBHOOK_PROXY",
    "BASE_URL",
    "SINK_SECRET",
    "EMAILGISTICS_ADMIN_PASSWORD",
):
    os.environ.pop(name, None)
folder = tempfile.mkdtemp(prefix="emailgistics-tests-")
atexit.register(shutil.rmtree, folder, ignore_errors=True)
os.environ["DATA_DIR"] = folder
os.environ["LOG_LEVEL"] = "WARNING"
os.environ |= NO_THROTTLES
# no test asks the DNS of the machine; those about it have a server of their own
os.environ["MAIL_AUTHENTICATION"] = "0"
os.environ.pop("DNS_SERVERS", None)
# one key asks for much in a minute; tests about limits set their own
os.environ |= (GENEROUS_LIMITS := dict.fromkeys(("RATE_LIMIT_MINUTE", "RATE_LIMIT_HOUR", "RATE_LIMIT_DAY"), "1000000"))
os.environ.pop("SUPPORT_CONTACT", None)
os.environ.pop("REQUIRE_DOMAIN_VERIFICATION", None)
if ON_POSTGRES:
    # no test here cuts the power, and each one commits; installations of their own wait for the disk
    _joint = "&" if "?" in POSTGRES_URL else "?"
    os.environ["DATABASE_URL"] = f"{POSTGRES_URL}{_joint}options=-c%20synchronous_commit%3Doff"
    os.environ["REDIS_URL"] = REDIS_URL
    os.environ["SECRET_KEY"] = "only-for-tests-only-for-tests-only-for-tests-0123456789"
    os.environ["API_KEY_PEPPERS"] = "1:cGVwcGVyLXBlcHBlci1wZXBwZXItcGVwcGVyLTEyMzQ="
    os.environ["ENCRYPTION_KEYS"] = "1:ZW5jcnlwdGlvbi1lbmNyeXB0aW9uLWVuY3J5cHQtMTI="
