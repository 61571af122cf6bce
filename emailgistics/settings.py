"""All settings, from the environment. A wrong value stops the process and names the variable.

Nothing given: SQLite and a broker of files under DATA_DIR, secrets generated on first use (the embedded default).
With DATABASE_URL on a server, every secret has to be given.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy

from emailgistics.common import env as environment
from emailgistics.common import sentry
from emailgistics.common.crypto import KeyRing
from emailgistics.common.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"
LOOPBACK = ["127.0.0.0/8", "::1/128"]

env, DATA_DIR = environment.load(BASE_DIR)
EMBEDDED = environment.is_embedded(env)

if EMBEDDED:
    os.umask(0o077)  # the database, its journal, the receiver's record: mail is in all of them
    environment.ensure_generated(DATA_DIR)
    env, DATA_DIR = environment.load(BASE_DIR)
elif missing := [name for name in ("SECRET_KEY", "API_KEY_PEPPERS", "ENCRYPTION_KEYS") if not env(name, default="")]:
    raise ImproperlyConfigured(
        f"DATABASE_URL names a server, so secrets are not generated: set {', '.join(missing)} "
        "(or the same name with _FILE). docs/operations/deployment.md says how to make them."
    )

# --- secrets
SECRET_KEY = env("SECRET_KEY")
API_KEY_PEPPERS = KeyRing.parse(env("API_KEY_PEPPERS"), name="API_KEY_PEPPERS")
ENCRYPTION_KEYS = KeyRing.parse(env("ENCRYPTION_KEYS"), name="ENCRYPTION_KEYS")

# what has to hold though the database is restored, a line each; best on another disk than the database
JOURNAL_FILE = Path(env("JOURNAL_FILE", default="") or DATA_DIR / "journal.jsonl").resolve()

# --- where we are
HTTP_HOST = env("HTTP_HOST", default="127.0.0.1")
HTTP_PORT = env.port("HTTP_PORT", default=8000)
SMTP_HOST = env("SMTP_HOST", default="127.0.0.1")
SMTP_PORT = env.port("SMTP_PORT", default=2525)
SINK_PORT = env.port("SINK_PORT", default=8025)
BASE_URL = (env.url("BASE_URL", schemes=("http", "https")) or f"http://127.0.0.1:{HTTP_PORT}").rstrip("/")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
# whose X-Forwarded-For is believed; without any, the client is who connects
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES", default=[])
IS_HTTPS = BASE_URL.startswith("https://")
CSRF_TRUSTED_ORIGINS = [BASE_URL]

# --- mail in
MAX_MESSAGE_BYTES = env.number("MAX_MESSAGE_BYTES", default=40 * 1024 * 1024)
SMTP_MAX_RECIPIENTS = 100  # of one message; RFC 5321 section 4.5.3.1.8: at least this many
SMTP_DB_THREADS = env.number("SMTP_DB_THREADS", default=3, at_most=100)
SMTP_PROCESSES = env.number("SMTP_PROCESSES", default=1, at_most=64)  # that `up` starts on the port
LMTP_PORT = env.number("LMTP_PORT", default=0, at_least=0, at_most=65_535)  # of the LMTP listener of `up`; 0: none
# of one process; 0 for an address: 20, and any number of loopback
SMTP_MAX_CONNECTIONS = env.number("SMTP_MAX_CONNECTIONS", default=200, at_most=10_000)
SMTP_MAX_CONNECTIONS_PER_ADDRESS = env.number("SMTP_MAX_CONNECTIONS_PER_ADDRESS", default=0, at_least=0)
SMTP_MESSAGES_PER_MINUTE = env.number("SMTP_MESSAGES_PER_MINUTE", default=0, at_least=0)  # of one address; 0: any
SMTP_MAX_BYTES_IN_FLIGHT = env.number("SMTP_MAX_BYTES_IN_FLIGHT", default=512 * 1024 * 1024)
MIN_FREE_DISK_BYTES = env.number("MIN_FREE_DISK_BYTES", default=100 * 1024 * 1024, at_least=0)
SMTP_TLS_CERT = env("SMTP_TLS_CERT", default="")  # PEM, with its chain; without one there is no STARTTLS
SMTP_TLS_KEY = env("SMTP_TLS_KEY", default="")  # PEM; empty: in the same file
SMTP_REQUIRE_TLS = env.number("SMTP_REQUIRE_TLS", default=0, at_least=0, at_most=1) == 1
if (SMTP_TLS_KEY or SMTP_REQUIRE_TLS) and not SMTP_TLS_CERT:
    raise ImproperlyConfigured("SMTP_TLS_KEY and SMTP_REQUIRE_TLS need a certificate: set SMTP_TLS_CERT.")
SMTP_READER = env("SMTP_READER", default="auto")  # see mailboxes/smtp/reading.py
if SMTP_READER not in ("auto", "chunked", "lines"):
    raise ImproperlyConfigured(f"SMTP_READER is {SMTP_READER!r}; it is auto, chunked or lines.")
# test domains take mail by SMTP from here only
TEST_NETWORKS = env.networks("TEST_NETWORKS", default=LOOPBACK)
# days that it is kept who was refused, and what a rule threw away
REFUSAL_DAYS = env.number("REFUSAL_DAYS", default=30, at_most=3660)
# days that mail is kept, where a mailbox does not say so itself; 0: for good. See mailboxes/retention.py
RETENTION_RAW_DAYS = env.number("RETENTION_RAW_DAYS", default=0, at_least=0, at_most=36_500)
RETENTION_CONTENT_DAYS = env.number("RETENTION_CONTENT_DAYS", default=0, at_least=0, at_most=36_500)
RETENTION_LOG_DAYS = env.number("RETENTION_LOG_DAYS", default=0, at_least=0, at_most=36_500)
# days that it is kept how much mail came, and what became of it
STATISTICS_DAYS = env.number("STATISTICS_DAYS", default=1100, at_least=90, at_most=36600)
# where the DNS is asked: addresses, each with or without a port; without any, those of resolv.conf
DNS_SERVERS = env.servers("DNS_SERVERS", default_port=53)
# what other mail servers call this one: where MX records are to lead; by default the host of BASE_URL, if it is a name
MX_HOSTNAME = env.hostname("MX_HOSTNAME", default=environment.name_in(BASE_URL))
# 450 for a domain until `manage.py domains verify` has found its owner's word in its DNS; test domains need none
REQUIRE_DOMAIN_VERIFICATION = env.number("REQUIRE_DOMAIN_VERIFICATION", default=0, at_least=0, at_most=1) == 1
MAIL_CHILD_MEMORY_BYTES = env.number("MAIL_CHILD_MEMORY_BYTES", default=2 * 1024**3)
# whether SPF, DKIM and DMARC are checked
MAIL_AUTHENTICATION = env.number("MAIL_AUTHENTICATION", default=1, at_least=0, at_most=1) == 1

# --- mail out
WEBHOOK_ALLOW_NETWORKS = env.list("WEBHOOK_ALLOW_NETWORKS", default=[])
WEBHOOK_CA_BUNDLE = env("WEBHOOK_CA_BUNDLE", default="")
# days: records of attempts; octets of events that were delivered or given up; what could not be delivered
WEBHOOK_LOG_DAYS = env.number("WEBHOOK_LOG_DAYS", default=30, at_most=3660)
WEBHOOK_BODY_DAYS = env.number("WEBHOOK_BODY_DAYS", default=30, at_most=3660)
WEBHOOK_HELD_DAYS = env.number("WEBHOOK_HELD_DAYS", default=90, at_least=14, at_most=3660)
WEBHOOK_PROXY = env("WEBHOOK_PROXY", default="")  # see webhooks/tunnel.py; HTTP_PROXY and its like count for nothing
# in seconds; webhooks.E003 says how they have to fit together
WEBHOOK_DNS_TIMEOUT_S = env.number("WEBHOOK_DNS_TIMEOUT_S", default=3)
WEBHOOK_CONNECT_TIMEOUT_S = env.number("WEBHOOK_CONNECT_TIMEOUT_S", default=5)
WEBHOOK_TIMEOUT_S = env.number("WEBHOOK_TIMEOUT_S", default=15)
STOP_WITHIN_S = env.number("STOP_WITHIN_S", default=19)  # from SIGTERM until what is left is killed
# 0: the first start of an embedded installation makes its administrator, and nothing besides
QUICKSTART_SAMPLES = env.number("QUICKSTART_SAMPLES", default=1, at_least=0, at_most=1) == 1
SINK_SECRET = env("SINK_SECRET", default="")  # the sample webhook's, for `webhook_sink`
# how long after the last attempt or replay the links in a webhook's body open something
LINK_TTL = env.duration("LINK_TTL", default="72h", at_most=timedelta(days=3660))
# requests under /files/ of one client address, and how often 8 MiB are read for it
FILES_PER_MINUTE = env.number("FILES_PER_MINUTE", default=600)

# looks at a domain's DNS that one person asks for in the console
DNS_LOOKS_PER_MINUTE = env.number("DNS_LOOKS_PER_MINUTE", default=20)

# test mails and tests of webhooks that one person sends from the page of the first steps
FIRST_STEPS_PER_MINUTE = env.number("FIRST_STEPS_PER_MINUTE", default=20)

# --- documentation: /docs without signing in
DOCS_PUBLIC = env.number("DOCS_PUBLIC", default=0, at_least=0, at_most=1) == 1
DOCS_PER_MINUTE = env.number("DOCS_PER_MINUTE", default=120)  # of one address, with the OpenAPI document

# --- keys
APIKEY_MAX_DAYS = env.number("APIKEY_MAX_DAYS", default=366, at_most=3660)
# requests that a key is refused for: of one address with keys that there are not, of one key that has ended
KEY_FAILURES_PER_MINUTE = env.number("KEY_FAILURES_PER_MINUTE", default=30)
KEY_FORMS_PER_MINUTE = env.number("KEY_FORMS_PER_MINUTE", default=30)  # of one person: Add Key, rotate, revoke
# wrong passwords: of one address, of one user name, of one browser that its person has signed in with before
SIGN_IN_FAILURES_PER_MINUTE = env.number("SIGN_IN_FAILURES_PER_MINUTE", default=10)
# requests of one key with the plan standard; see apikeys/plans.py
RATE_LIMIT_MINUTE = env.number("RATE_LIMIT_MINUTE", default=100, at_most=10**6)
RATE_LIMIT_HOUR = env.number("RATE_LIMIT_HOUR", default=1000, at_most=10**7)
RATE_LIMIT_DAY = env.number("RATE_LIMIT_DAY", default=10_000, at_most=10**8)
if not RATE_LIMIT_MINUTE <= RATE_LIMIT_HOUR <= RATE_LIMIT_DAY:
    raise ImproperlyConfigured("Of RATE_LIMIT_MINUTE, _HOUR and _DAY a longer time must not have less than a shorter.")
# whom to ask for more, as a 429 names him: an address or a URL
SUPPORT_CONTACT = env("SUPPORT_CONTACT", default="")
# days that it is kept what was counted of keys' use; advice looks at the last 30
USAGE_DAYS = env.number("USAGE_DAYS", default=400, at_least=90, at_most=3660)

# --- notices to system administrators: without EMAIL_URL they are in the console alone
EMAIL_URL = env.url("EMAIL_URL", schemes=environment.MAIL_SCHEMES)
globals().update(env.email_url_config(EMAIL_URL or "dummymail://"))
# who is told of alarms: docs/operations/alarms.md
ALERT_EMAILS = [address.strip() for address in env.list("ALERT_EMAILS", default=[]) if address.strip()]
EMAIL_TIMEOUT = 10  # seconds; a worker's child has 40 for its task
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", default=f"Emailgistics <emailgistics@{urlsplit(BASE_URL).hostname}>")

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # the site is ours, see console/apps.py
    "emailgistics.console.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_otp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "emailgistics",
    "emailgistics.common",
    "emailgistics.console.apps.ConsoleConfig",
    "mailboxes",
    "apikeys",
    "webhooks",
]

MIDDLEWARE = [
    "emailgistics.common.safe_headers.SafeHeadersMiddleware",  # first: for whatever answers
    "emailgistics.operations.probes.ProbesMiddleware",  # it has nothing to do with any other
    "emailgistics.common.requests.ApiRequestMiddleware",  # before the others: whatever answers under /v1 passes it
    "apikeys.middleware.KeyMiddleware",
    "emailgistics.console.middleware.LanguageMiddleware",  # before all that have pages of their own for what goes wrong
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "emailgistics.console.middleware.ConsoleMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "emailgistics.urls"
WSGI_APPLICATION = "emailgistics.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- database: SQLite under DATA_DIR, or what DATABASE_URL names
if EMBEDDED:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "emailgistics.sqlite3",
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                # IMMEDIATE: a transaction that reads first and writes later could not be waited for
                "transaction_mode": "IMMEDIATE",
                "timeout": 30,
                # FULL: a 250 must survive the power cut that follows it
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA recursive_triggers=ON; "
                # what was erased is overwritten in the file, too
                "PRAGMA secure_delete=ON;",
            },
            # a file: several threads and processes use it in tests as they do in life
            "TEST": {"NAME": DATA_DIR / "test.sqlite3"},
        }
    }
else:
    # nothing but PostgreSQL; leave it empty for SQLite under DATA_DIR
    env.url("DATABASE_URL", schemes=("postgresql", "postgres"))
    DATABASES = {"default": env.db_url("DATABASE_URL")}
    given_options: dict[str, Any] = DATABASES["default"].get("OPTIONS", {})  # type: ignore[assignment]
    DATABASES["default"] |= {
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            # client-side binding would hold a mail several times in memory, as escaped text
            "server_side_binding": True,
            "connect_timeout": 5,
            # a server that is gone without a word is noticed in about 15 s, not in the hours that TCP allows
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": 15_000,
            # what DATABASE_URL says (sslmode, …) comes last and wins
            **given_options,
        },
    }

# --- Celery: the broker only wakes workers; the database is the queue
REDIS_URL = env.url("REDIS_URL", schemes=("redis", "rediss", "redis+socket"))
# the broker's name for a socket is not what the client calls it
REDIS_CLIENT_URL = REDIS_URL.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
BROKER_DIR = DATA_DIR / "broker"
CELERY_BROKER_URL = REDIS_URL or "embedded://localhost"  # see common/filebroker.py
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        # one that hangs is noticed in seconds; 2 s for an answer, because a worker's blocking read takes 1 s
        "socket_connect_timeout": 1,
        "socket_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 3,
        # who publishes tries once; workers' own connections are retried for ever, see celery.PromptConnection
        "max_retries": 0,
        # nothing to restore: a wake-up that a killed worker took along is made good by the next sweep
        "ack_emulation": False,
    }
    if REDIS_URL
    else {"folder": str(BROKER_DIR)}
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
SWEPT_TASKS = {"mailboxes.tasks.process": {"queue": "mail"}, "webhooks.tasks.dispatch": {"queue": "webhooks"}}
TIDYING_TASKS = {
    name: {"queue": "mail"}
    for name in ("mailboxes.tasks.tidy_up", "apikeys.tasks.look_after", "emailgistics.tasks.watch")
}
CELERY_TASK_ROUTES = SWEPT_TASKS | TIDYING_TASKS
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True  # none is: ours are acknowledged when they begin
SWEEP_EVERY = timedelta(seconds=2)
CELERY_BEAT_SCHEDULER = "emailgistics.beat:Sweeper"
TIDY_EVERY = timedelta(minutes=1)
CELERY_BEAT_SCHEDULE = {
    name: {"task": name, "schedule": every}
    for names, every in ((SWEPT_TASKS, SWEEP_EVERY), (TIDYING_TASKS, TIDY_EVERY))
    for name in names
}

# --- cache: counts requests, for all processes together
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_CLIENT_URL,
        "KEY_PREFIX": "emailgistics",
        "OPTIONS": {
            "socket_connect_timeout": 0.5,
            "socket_timeout": 0.5,
            "serializer": "emailgistics.common.counts.NumbersAlone",
        },
    }
    if REDIS_URL
    else {
        "BACKEND": "emailgistics.common.filecache.SharedFileCache",
        "LOCATION": DATA_DIR / "cache",
        "OPTIONS": {"MAX_ENTRIES": 5_000},
    }
}
RATELIMIT_FAIL_OPEN = True  # a count that is lost takes nobody's files away

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": name}
    for name in (
        "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "emailgistics.console.passwords.LongEnough",
        "django.contrib.auth.password_validation.CommonPasswordValidator",
    )
]
LOGIN_URL = "admin:login"

# what the API, commands, logs and notices by e-mail are written in; pages of the console are in CONSOLE_LANGUAGE
LANGUAGE_CODE = "en"
LOCALE_PATHS = [BASE_DIR / "locale"]
# not LANGUAGE: that is a variable of GNU gettext, which a desktop sets for all its programs
CONSOLE_LANGUAGE = env.language("CONSOLE_LANGUAGE", default=LANGUAGE_CODE, folder=LOCALE_PATHS[0])
TIME_ZONE = env.zone("TIME_ZONE", default="UTC")
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # no collectstatic: the files come out of the installed packages
WHITENOISE_ALLOW_ALL_ORIGINS = False  # no other site shows itself with them

# --- HTTP security
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
# a browser takes cookies of that name from this host alone, not from another one of its domain, and over https only
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = (f"__Host-{name}" if IS_HTTPS else name for name in ("sessionid", "csrftoken"))
SESSION_ENGINE = "emailgistics.console.session_store"
# until one has to sign in again: in any case, by default after a working day, as the console shows mail; without a
# request; and for keys and people
SESSION_COOKIE_AGE = int(env.duration("SESSION_MAX", default="12h", at_most=timedelta(days=30)).total_seconds())
SESSION_IDLE = env.duration("SESSION_IDLE", default="2h", at_most=timedelta(days=30))
FRESH_SIGN_IN = env.duration("FRESH_SIGN_IN", default="15m", at_most=timedelta(days=1))
# whoever signs in has to have a second factor, and reaches nothing before it is set up
REQUIRE_TWO_FACTOR = env.number("REQUIRE_TWO_FACTOR", default=0, at_least=0, at_most=1) == 1
CSRF_FAILURE_VIEW = "emailgistics.console.errors.csrf_failure"
SECURE_SSL_REDIRECT = False  # the proxy in front does that; behind it every request looks like http
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = False
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # sub-domains of the installation's host are not ours to decide about
    "security.W008",  # see SECURE_SSL_REDIRECT
    "security.W021",  # preloading is not ours to decide about
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        # unfold's Alpine evaluates expressions
        "script-src": ["'self'", "'unsafe-eval'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
    }
}

# no report is sent unless somebody adds ADMINS; then it has nothing in it that opens anything
DEFAULT_EXCEPTION_REPORTER = "emailgistics.common.reports.Report"
DEFAULT_EXCEPTION_REPORTER_FILTER = "emailgistics.common.reports.WithoutValues"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apikeys.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apikeys.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["emailgistics.common.bodies.JsonObjectParser"],
    "DEFAULT_PAGINATION_CLASS": "emailgistics.common.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "emailgistics.docs.operations.OperationSchema",
    "DEFAULT_METADATA_CLASS": "emailgistics.common.requests.Methods",
    "EXCEPTION_HANDLER": "emailgistics.common.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNICODE_JSON": True,
    "URL_FORMAT_OVERRIDE": None,  # `?format=` is nobody's parameter here
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Emailgistics API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVERS": [{"url": BASE_URL}],
    "WEBHOOKS": [
        f"emailgistics.docs.events.{name}"
        for name in ("EMAIL_RECEIVED", "EMAIL_REPARSED", "WEBHOOK_TEST", "WEBHOOK_DISABLED")
    ],
    "SCHEMA_PATH_PREFIX": "/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    # ours last: it looks at what the others have made
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "emailgistics.docs.schema.finish"],
    "ENUM_NAME_OVERRIDES": {
        "ActionEnum": "mailboxes.models.Rule.Action",
        "BatchAction": "mailboxes.api.batch.Action",
        "DomainDnsStatus": "mailboxes.models.Domain.DnsStatus",
        "DnsRecordState": "mailboxes.services.dns_records.State",
        "WebhookState": "webhooks.models.Webhook.State",
        "DeliveryState": "webhooks.models.Delivery.State",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "docExpansion": "list",
        "defaultModelsExpandDepth": 0,
        "displayRequestDuration": True,
        "filter": True,
        "persistAuthorization": False,  # a key that was pasted is gone with the page
        "requestSnippetsEnabled": True,
        "showCommonExtensions": True,
        "tryItOutEnabled": False,
        "validatorUrl": None,  # its badge would ask another host
    },
}

# --- watching: without a token there are no metrics, and /healthz says one word
METRICS_TOKEN = env("METRICS_TOKEN", default="")
LOG_FORMAT = env("LOG_FORMAT", default="text")  # text or json
LOG_LEVEL = env("LOG_LEVEL", default="INFO")
LOGGING_CONFIG = None
logging_config(style=LOG_FORMAT, level=LOG_LEVEL)
SENTRY_DSN = env("SENTRY_DSN", default="")
SENTRY_ENVIRONMENT = env("SENTRY_ENVIRONMENT", default="production")
if SENTRY_DSN:
    sentry.report_to(SENTRY_DSN, release=VERSION, environment=SENTRY_ENVIRONMENT)

# --- console
FORMAT_MODULE_PATH = ["emailgistics.console.formats"]
FAVICON = "emailgistics/favicon.svg"
UNFOLD = {
    "SITE_TITLE": "Emailgistics",
    "SITE_HEADER": "Emailgistics",
    "SITE_URL": None,  # there is no other site to go back to
    "SITE_ICON": lambda _: static(FAVICON),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _: static(FAVICON)}],
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "emailgistics.console.forms.SignInForm"},
    "ACCOUNT": {"navigation": [{"title": gettext_lazy("Your account"), "link": reverse_lazy("admin:account")}]},
    "DASHBOARD_CALLBACK": "emailgistics.console.dashboard.dashboard",
    "SIDEBAR": {"navigation": "emailgistics.console.navigation.sections"},
    "STYLES": [lambda _, name=name: static(f"emailgistics/{name}.css") for name in ("console", "charts", "places")],
    "SCRIPTS": [lambda _: static("emailgistics/console.js")],
}
