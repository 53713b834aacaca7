"""Settings of the demo project, from the environment; what is not set is safe for one machine and nobody else.

DATABASE_URL, DJANGO_SECRET_KEY, DJANGO_DEBUG, DJANGO_ALLOWED_HOSTS, SYNC_QUEUE_SIGNING_KEYS (comma separated);
for real time TASK_QUEUE, NUDGE_PAIR, FUNCTIONS_URL, and TASK_ACCOUNT or TASK_TOKEN;
for sync_ojs FUNCTIONS_URL, FUNCTIONS_TOKEN (an operator's) and JOURNALS_PAIR.
"""

import os
from pathlib import Path

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from portal import synced as portal
from school import synced as school

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL = ["127.0.0.1", "localhost"]


def _listed(name: str) -> list[str]:
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


DEBUG = os.environ.get("DJANGO_DEBUG", "").lower() in ("1", "true", "yes")
ALLOWED_HOSTS = _listed("DJANGO_ALLOWED_HOSTS") or LOCAL
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "")
if not SECRET_KEY:
    if set(ALLOWED_HOSTS) - set(LOCAL):
        raise ImproperlyConfigured("DJANGO_SECRET_KEY: set it to at least 50 random characters to serve any other host")
    SECRET_KEY = "only-for-this-machine-never-for-a-server-that-others-reach"  # noqa: S105  # refused above for any other host

DATABASES = {"default": dj_database_url.config(default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}", conn_max_age=60)}
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 10,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "syncqueue",
    "members",
    "portal",
    "school",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "register.urls"
WSGI_APPLICATION = "register.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

SYNC_QUEUE = {
    "origin": "django",
    "entities": [
        {"entity": "branch", "model": "members.Branch", "key": "code", "fields": ["name", "city"]},
        {"entity": "interest", "model": "members.Interest", "key": "slug", "fields": ["name"]},
        {
            "entity": "member",
            "model": "members.Member",
            "key": "national_id",
            "fields": [
                "name",
                "email",
                "phone",
                "birth_date",
                "fee",
                "paid_until",
                "active",
                "address",
                "branch",
                "interests",
                "notes",
                "joined_at",
                "visits",
            ],
        },
        {
            "entity": "event",
            "model": "members.Event",
            "key": "code",
            "tenant": "tenant",
            "fields": ["title", "starts_at", "details"],
        },
        *portal.entities(),
        *school.entities(),
    ],
}
SYNC_QUEUE_SIGNING_KEYS = _listed("SYNC_QUEUE_SIGNING_KEYS")
NUDGE = (
    {
        "queue": os.environ["TASK_QUEUE"],
        "functions_url": os.environ.get("FUNCTIONS_URL", ""),
        "pair": os.environ["NUDGE_PAIR"],
        "seconds": 5,
        "account": os.environ.get("TASK_ACCOUNT"),
        "token": os.environ.get("TASK_TOKEN"),
    }
    if os.environ.get("TASK_QUEUE") and os.environ.get("NUDGE_PAIR")
    else None
)
SYNC_FUNCTIONS = {
    "functions_url": os.environ.get("FUNCTIONS_URL", ""),
    "token": os.environ.get("FUNCTIONS_TOKEN") or os.environ.get("TASK_TOKEN", ""),
    "account": os.environ.get("TASK_ACCOUNT"),
    "queue": os.environ.get("TASK_QUEUE"),
    "pair": os.environ.get("JOURNALS_PAIR", "journals"),
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": "syncqueue.logs.ValueFree"}},
    "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "root": {"handlers": ["lines"], "level": "INFO"},
    "loggers": {
        # Django's own handlers would print tracebacks, whose last line may hold a value
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
    },
}
