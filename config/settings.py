"""All settings, from the environment, in one file. What is missing in production fails by name.

``DATABASE_URL`` is the owner's log-in: it migrates, and makes the other two log-ins. The web and
worker processes of a production site are given ``DATABASE_APP_URL`` and ``DATABASE_SEALED_URL``
and no owner at all. Where neither is set, the embedded servers of ``make up`` are used.
"""

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pghistory
import structlog
from django.core.exceptions import ImproperlyConfigured

from config import environment as env
from config import logs


BASE_DIR = env.ROOT
HOME = env.HOME
PRODUCTION = env.text("VIGIL_ENV", "development") == "production"
DEBUG = env.flag("VIGIL_DEBUG", default=False)
SECRET_KEY = env.text("VIGIL_SECRET_KEY", None if PRODUCTION else env.development_key())
ALLOWED_HOSTS = env.words("VIGIL_HOSTS", "" if PRODUCTION else "127.0.0.1,localhost,testserver")
if PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured("VIGIL_HOSTS is not set: the host names this site answers to")
if PRODUCTION and DEBUG:
    raise ImproperlyConfigured("VIGIL_DEBUG must be off in production")

# --- PostgreSQL: three log-ins on one database (docs/decisions/0002) -------------------------

APP_LOGIN, SEALED_LOGIN = "vigil_app", "vigil_sealed"
_servers = {} if PRODUCTION else env.embedded()
_owner_url = env.text("DATABASE_URL", _servers.get("owner_url", ""))
_owner = env.database(_owner_url, variable="DATABASE_URL") if _owner_url else None


def _login_url(variable: str, login: str) -> str:
    """Return a log-in's own URL, or the owner's with that log-in's name and derived password."""
    if given := env.text(variable, ""):
        return given
    if not _owner_url:
        if PRODUCTION:
            raise ImproperlyConfigured(f"{variable} is not set")
        return f"postgres://{login}:none@127.0.0.1:55432/vigil"  # nobody answers: `make up`
    parts = urlsplit(_owner_url)
    password = quote(env.derived_password(SECRET_KEY, login))
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{login}:{password}@{host}"))


DATABASES = {
    "default": env.database(_login_url("DATABASE_APP_URL", APP_LOGIN), variable="DATABASE_APP_URL"),
    "sealed": env.database(
        _login_url("DATABASE_SEALED_URL", SEALED_LOGIN), variable="DATABASE_SEALED_URL"
    ),
}
if _owner:
    DATABASES["owner"] = _owner
DATABASE_ROUTERS = ["config.routing.OwnerMigrates"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Applications ---------------------------------------------------------------------------

INSTALLED_APPS = [
    "config",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "oauth2_provider",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_celery_beat",
    "pghistory",
    "pgtrigger",
    "events",
    "trials",
    "patients",
    "dosing",
    "reporting",
]
MIDDLEWARE = [
    "config.logs.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.health.Health",
    "config.limits.BodyLimit",
    "config.readers.OneReader",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "config.readers.ReadsAsWhoIsLoggedIn",
    "allauth.account.middleware.AccountMiddleware",
    "trials.log_in.middleware.SessionRules",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
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
STATIC_URL = "static/"
STATIC_ROOT = Path(env.text("VIGIL_STATIC_ROOT", str(env.STATE / "static")))
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # where collectstatic puts what WhiteNoise serves
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_AUTOREFRESH = False
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

# --- People and machines --------------------------------------------------------------------

AUTH_USER_MODEL = "trials.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTH_PASSWORD_VALIDATORS.append(
    {
        "NAME": "trials.log_in.passwords.NotUsedBefore",
        "OPTIONS": {"remembered": env.number("VIGIL_PASSWORDS_REMEMBERED", 5)},  # type: ignore[dict-item]  # stubs: str only
    }
)
AUTH_PASSWORD_VALIDATORS[1]["OPTIONS"] = {"min_length": 12}  # type: ignore[assignment]  # stubs: str only
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_AGE = env.number("VIGIL_SESSION_SECONDS", 8 * 3600)
VIGIL_IDLE_SECONDS = env.number("VIGIL_IDLE_SECONDS", 30 * 60)
VIGIL_LOCK_FAILURES = env.number("VIGIL_LOCK_FAILURES", 5)
VIGIL_LOCK_ADDRESS_FAILURES = env.number("VIGIL_LOCK_ADDRESS_FAILURES", 50)
VIGIL_LOCK_SECONDS = env.number("VIGIL_LOCK_SECONDS", 15 * 60)
VIGIL_MFA_REQUIRED = env.flag("VIGIL_MFA_REQUIRED", default=PRODUCTION)
VIGIL_BEHIND_PROXY = env.flag("VIGIL_BEHIND_PROXY", default=False)
ACCOUNT_ADAPTER = "trials.log_in.adapters.Accounts"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = True  # until the session's own end, which the browser cannot put off
ACCOUNT_RATE_LIMITS = False  # counted in the database: trials/services/log_ins.py
ACCOUNT_FORMS = {
    "login": "trials.log_in.forms.LogIn",
    "change_password": "trials.log_in.forms.ChangePassword",
}
MFA_ADAPTER = "trials.log_in.adapters.SecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_RATE_LIMITS = False
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {
    "authenticate": "trials.log_in.forms.SecondStep",
    "authenticate_webauthn": "trials.log_in.forms.SecondStepByPasskey",
    "add_webauthn": "trials.log_in.forms.AddPasskey",
    "login_webauthn": "trials.log_in.forms.LogInByPasskey",
}
OIDC_PROVIDER = "sign-on"
VIGIL_OIDC_NAME = env.text("VIGIL_OIDC_NAME", "Single sign-on")
_oidc_issuer = env.text("VIGIL_OIDC_ISSUER", "")
OIDC_PROVIDER_ON = bool(_oidc_issuer)
if PRODUCTION and OIDC_PROVIDER_ON and not _oidc_issuer.startswith("https://"):
    raise ImproperlyConfigured("VIGIL_OIDC_ISSUER must begin with https://")
SOCIALACCOUNT_ADAPTER = "trials.log_in.sign_on.SignOn"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False  # the recorded subject binds, never an address
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "SCOPE": ["openid"],  # the subject is all that is asked for
        "APPS": [
            {
                "provider_id": OIDC_PROVIDER,
                "name": VIGIL_OIDC_NAME,
                "client_id": env.text("VIGIL_OIDC_CLIENT_ID", None if OIDC_PROVIDER_ON else ""),
                "secret": env.text("VIGIL_OIDC_CLIENT_SECRET", None if OIDC_PROVIDER_ON else ""),
                "settings": {"server_url": _oidc_issuer, "fetch_userinfo": False},
            }
        ]
        if OIDC_PROVIDER_ON
        else [],
    }
}
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
RFC_9700 = (  # the OAuth 2.0 security practice, all of it; tokens are stored as digests
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT",
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT",
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD",
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT",
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS",
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE",
    "COMPLIANT_BCP_RFC9700_REFRESH_TOKEN",
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_SCHEME",
    "REFRESH_TOKEN_REUSE_PROTECTION",
)
OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth2_provider.Application"
OAUTH2_PROVIDER = {
    **dict.fromkeys(RFC_9700, True),
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
    "ACCESS_TOKEN_EXPIRE_SECONDS": env.number("VIGIL_TOKEN_SECONDS", 3600),
    "SCOPES": {
        "read": "Read records of one's own sites, reports and events",
        "submit": "Submit and correct what happened to subjects",
        "randomise": "Randomise subjects",
        "dispense": "Dispense study drug",
        "manage": "Everything else that changes a trial: lists, supplies, clients, reports",
        "unblind": "Look behind the blind, or agree that somebody else does: emergency, safety and"
        " trial unblinding, contingency sheets",
    },
    "SCOPES_BACKEND_CLASS": "trials.api.scopes.ClientScopes",
    "OAUTH2_VALIDATOR_CLASS": "trials.api.authentication.Clients",
}

# --- HTTPS ----------------------------------------------------------------------------------

SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if VIGIL_BEHIND_PROXY else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
CSRF_TRUSTED_ORIGINS = env.words("VIGIL_ORIGINS")
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = env.number("VIGIL_MAX_BODY_BYTES", 1_000_000)

# --- API ------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "trials.api.authentication.SiteSystem",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "trials.api.scopes.InScope",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["events.api.parsers.StrictJson"],
    "DEFAULT_PAGINATION_CLASS": "events.api.paging.Pages",
    "DEFAULT_SCHEMA_CLASS": "config.openapi.Schema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "EXCEPTION_HANDLER": "config.api.answer",
    "COERCE_DECIMAL_TO_STRING": True,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Vigil",
    "DESCRIPTION": "Trial data management: what a site's own system submits and reads.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}

# --- Valkey, Celery -------------------------------------------------------------------------

_valkey = _servers.get("redis_url", "redis://127.0.0.1:56379/0")
REDIS_URL = env.text("REDIS_URL", None if PRODUCTION else _valkey)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "vigil",
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 2},
    }
}
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 1, "global_keyprefix": "vigil:"}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {
    "sweep the outbox": {
        "task": "events.tasks.drain",
        "schedule": 1.0,
        "options": {"expire_seconds": 5},  # as the scheduler keeps it
    },
    "forget old answers": {
        "task": "events.tasks.forget_old_answers",
        "schedule": 3600.0,
    },
    "send due mails": {
        "task": "reporting.tasks.send_due_mails",
        "schedule": 5.0,
        "options": {"expire_seconds": 5},  # as the scheduler keeps it
    },
    "write due safety summaries": {
        "task": "reporting.tasks.write_due_safety_summaries",
        "schedule": float(env.number("VIGIL_SUMMARY_SWEEP_SECONDS", 3600)),
    },
}

# --- E-mail: notices are mailed to those who must act (docs/decisions/0019) --------------------

_mail_url = env.text("VIGIL_EMAIL_URL", "")
MAIL_ON = bool(_mail_url)
if PRODUCTION and _mail_url == "console":
    raise ImproperlyConfigured("VIGIL_EMAIL_URL must be a server in production: logs hold no mail")
_mail = env.mail_server(_mail_url, variable="VIGIL_EMAIL_URL")
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_HOST = _mail.get("EMAIL_HOST", "")
EMAIL_PORT = _mail.get("EMAIL_PORT", 0)
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = _mail.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("VIGIL_EMAIL_FROM", None if MAIL_ON else "")
VIGIL_ADDRESS = env.text("VIGIL_ADDRESS", None if MAIL_ON else "").rstrip("/")
if MAIL_ON and not VIGIL_ADDRESS.startswith("https://" if PRODUCTION else ("https://", "http://")):
    raise ImproperlyConfigured(
        "VIGIL_ADDRESS must begin with https://, as in https://vigil.example"
    )

# --- Row history: written by triggers, complete, and only ever added to ------------------------

PGHISTORY_APPEND_ONLY = True
PGHISTORY_DEFAULT_TRACKERS = (
    pghistory.InsertEvent(),
    pghistory.UpdateEvent(),
    pghistory.DeleteEvent(),
)
# Triggers are put on, and those gone from the code taken off, at the end of every `migrate`. As
# operations of migrations each one made Django build all models anew: a minute in all.
PGTRIGGER_MIGRATIONS = False
PGTRIGGER_INSTALL_ON_MIGRATE = True
PGHISTORY_CONTEXT_FIELD = pghistory.ContextJSONField(null=False)
PGHISTORY_OBJ_FIELD = pghistory.ObjForeignKey(related_name="history", db_index=True)
PGHISTORY_ADMIN_ALL_EVENTS = False

# --- Logs -----------------------------------------------------------------------------------

LOG_LEVEL = env.text("VIGIL_LOG_LEVEL", "INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": structlog.processors.JSONRenderer(),
            "foreign_pre_chain": [
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                logs.without_values,
            ],
        }
    },
    "filters": {
        "routine": {"()": "django.utils.log.CallbackFilter", "callback": logs.is_not_routine}
    },
    "handlers": {
        "out": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["routine"]}
    },
    "root": {"handlers": ["out"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"handlers": ["out"], "level": "WARNING", "propagate": False},
        "django.request": {"level": "CRITICAL"},  # quotes paths; config.logs says it without
        "fido2": {"level": "WARNING"},  # names each passkey that is used
        "httpx": {"level": "WARNING"},
        "fontTools": {"level": "WARNING"},
        "pgtrigger": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        logs.without_values,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)

# --- Admin ----------------------------------------------------------------------------------

FORMAT_MODULE_PATH = ["config.formats"]  # ISO days and 24-hour clocks, wherever Django prints one
UNFOLD = {
    "SITE_TITLE": "Vigil",
    "SITE_HEADER": "Vigil",
    "SITE_SUBHEADER": "Trial data management",
    "SITE_URL": None,
    "SITE_ICON": "trials.admin_site.mark",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "trials.admin_site.mark"},
    ],
    "THEME": "light",
    "BORDER_RADIUS": "8px",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["trials.admin_site.stylesheet"],
    "SIDEBAR": {"show_search": False, "navigation": "trials.admin_site.navigation"},
    "ACCOUNT": {"navigation": "trials.admin_site.own_menu"},
    "DASHBOARD_CALLBACK": "reporting.dashboard.context_for",
    "COLORS": {
        "base": {
            "50": "oklch(98.4% .004 205)",
            "100": "oklch(96.2% .006 205)",
            "200": "oklch(92% .009 205)",
            "300": "oklch(86.4% .013 208)",
            "400": "oklch(70% .021 212)",
            "500": "oklch(54.5% .026 215)",
            "600": "oklch(44.2% .028 218)",
            "700": "oklch(36.8% .03 220)",
            "800": "oklch(27.6% .029 222)",
            "900": "oklch(21.2% .027 224)",
            "950": "oklch(13.6% .022 226)",
        },
        "primary": {
            "50": "oklch(97.6% .013 195)",
            "100": "oklch(94.2% .03 195)",
            "200": "oklch(88.6% .05 196)",
            "300": "oklch(80.6% .07 198)",
            "400": "oklch(70.4% .085 201)",
            "500": "oklch(60% .087 205)",
            "600": "oklch(51% .079 208)",
            "700": "oklch(44.4% .07 210)",
            "800": "oklch(37.6% .059 213)",
            "900": "oklch(31.6% .048 216)",
            "950": "oklch(23.6% .038 219)",
        },
    },
}
