"""All settings, from the environment. A wrong value stops the process and names the variable.

Nothing given: SQLite and a broker of files under DATA_DIR, secrets generated on first use (the embedded default).
With DATABASE_URL on a server, every secret has to be given.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from emailgistics.common import env as environment
from emailgistics.common.crypto import KeyRing
from emailgistics.common.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

env, DATA_DIR = environment.load(BASE_DIR)
EMBEDDED = environment.is_embedded(env)

if EMBEDDED:
    os.umask(0o077)  # the database, its journal, the receiver's record: mail is in all of them
    environment.ensure_generated(DATA_DIR)
    env, DATA_DIR = environment.load(BASE_DIR)
elif missing := [name for name in ("SECRET_KEY", "API_KEY_PEPPERS", "ENCRYPTION_KEYS") if not env(name, default="")]:
    raise ImproperlyConfigured(
        f"DATABASE_URL names a server, so secrets are not generated: set {', '.join(missing)} "
        "(or the same name with _FILE). README.md, section Production, says how to make them."
    )

# --- secrets
SECRET_KEY = env("SECRET_KEY")
API_KEY_PEPPERS = KeyRing.parse(env("API_KEY_PEPPERS"), name="API_KEY_PEPPERS")
ENCRYPTION_KEYS = KeyRing.parse(env("ENCRYPTION_KEYS"), name="ENCRYPTION_KEYS")

# --- where we are
HTTP_HOST = env("HTTP_HOST", default="127.0.0.1")
HTTP_PORT = env.port("HTTP_PORT", default=8000)
SMTP_HOST = env("SMTP_HOST", default="127.0.0.1")
SMTP_PORT = env.port("SMTP_PORT", default=2525)
SINK_PORT = env.port("SINK_PORT", default=8025)
BASE_URL = (env.url("BASE_URL", schemes=("http", "https")) or f"http://127.0.0.1:{HTTP_PORT}").rstrip("/")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
IS_HTTPS = BASE_URL.startswith("https://")
CSRF_TRUSTED_ORIGINS = [BASE_URL]

# --- mail in
MAX_MESSAGE_BYTES = env.number("MAX_MESSAGE_BYTES", default=40 * 1024 * 1024)
SMTP_MAX_RECIPIENTS = 100  # RFC 5321 section 4.5.3.1.8: at least this many
SMTP_DB_THREADS = env.number("SMTP_DB_THREADS", default=4, at_most=100)
MAIL_CHILD_MEMORY_BYTES = env.number("MAIL_CHILD_MEMORY_BYTES", default=2 * 1024**3)

# --- mail out
WEBHOOK_ALLOW_NETWORKS = env.list("WEBHOOK_ALLOW_NETWORKS", default=[])
WEBHOOK_CA_BUNDLE = env("WEBHOOK_CA_BUNDLE", default="")
SINK_SECRET = env("SINK_SECRET", default="")  # the sample webhook's, for `webhook_sink`

# --- keys
APIKEY_MAX_DAYS = env.number("APIKEY_MAX_DAYS", default=366, at_most=3660)

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "emailgistics",
    "emailgistics.common",
    "mailboxes",
    "apikeys",
    "webhooks",
]

MIDDLEWARE = [
    "emailgistics.common.requests.ApiRequestMiddleware",  # first: whatever answers under /v1 passes it
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA recursive_triggers=ON;",
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
CELERY_TASK_ROUTES = {"mailboxes.tasks.process": {"queue": "mail"}, "webhooks.tasks.dispatch": {"queue": "webhooks"}}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True  # none is: ours are acknowledged when they begin
SWEEP_EVERY = timedelta(seconds=2)
CELERY_BEAT_SCHEDULER = "emailgistics.beat:Sweeper"
CELERY_BEAT_SCHEDULE = {name: {"task": name, "schedule": SWEEP_EVERY} for name in CELERY_TASK_ROUTES}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "admin:login"

LANGUAGE_CODE = "en"
TIME_ZONE = env("TIME_ZONE", default="UTC")
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic: the files come out of the installed packages

# --- HTTP security
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
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
        "frame-ancestors": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apikeys.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apikeys.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "emailgistics.common.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "emailgistics.common.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNICODE_JSON": True,
    "URL_FORMAT_OVERRIDE": None,  # `?format=` is nobody's parameter here
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Emailgistics API",
    "VERSION": "1",
    "DESCRIPTION": "Shared mailboxes over HTTP: configuration, mail, and the fate of every webhook.",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

LOG_FORMAT = env("LOG_FORMAT", default="text")  # text or json
LOG_LEVEL = env("LOG_LEVEL", default="INFO")
LOGGING_CONFIG = None
logging_config(style=LOG_FORMAT, level=LOG_LEVEL)

UNFOLD = {"SITE_TITLE": "Emailgistics", "SITE_HEADER": "Emailgistics"}
