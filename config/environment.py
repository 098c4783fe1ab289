"""What the process is told from outside: environment variables and the embedded servers' file."""

import base64
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("VIGIL_HOME") or ROOT).resolve()  # whose .vigil holds what we make
STATE = HOME / ".vigil"


def text(name: str, default: str | None = None) -> str:
    """Return the variable's value. Raises ``ImproperlyConfigured`` naming it when it is missing."""
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set")
    return value


def flag(name: str, *, default: bool) -> bool:
    """Return a yes/no variable; anything but 1/0, true/false, yes/no is refused."""
    value = os.environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in {"1", "true", "yes"}:
        return True
    if value in {"0", "false", "no"}:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}")


def number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    try:
        return int(value) if value else default
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}") from None


def words(name: str, default: str = "") -> list[str]:
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def development_key() -> str:
    """Return this checkout's own secret key, made once; production brings its own."""
    path = STATE / "secret-key"
    if not path.exists():
        STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)  # two first starts at once: one key wins, whole
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()


def embedded() -> dict[str, Any]:
    """Return what ``make up`` wrote about its servers, or nothing."""
    try:
        found = json.loads((STATE / "servers.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def database(url: str, *, variable: str) -> dict[str, Any]:
    """Return Django's settings for a PostgreSQL URL. Raises ``ImproperlyConfigured`` by name."""
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in {"postgres", "postgresql"} or not parts.hostname or not parts.path[1:]:
        raise ImproperlyConfigured(
            f"{variable} must look like postgres://user:password@host:5432/database"
        )
    options = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": parts.hostname,
        "PORT": str(port),
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, **options},
    }


def mail_server(url: str, *, variable: str) -> dict[str, Any]:
    """Return what Django is told of the mail server a URL names; of none, one that drops mails.

    ``smtp://`` asks for STARTTLS (port 587) unless ``?tls=false`` says otherwise, ``smtps://`` is
    encrypted from its first byte (port 465), ``console`` prints. Raises ``ImproperlyConfigured``.
    """
    backend = {"": "dummy", "console": "console"}.get(url, "smtp")
    server = _smtp_server(url, variable) if backend == "smtp" else {}
    return {"EMAIL_BACKEND": f"django.core.mail.backends.{backend}.EmailBackend", **server}


def _smtp_server(url: str, variable: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    usual_port = {"smtp": 587, "smtps": 465}.get(parts.scheme)
    starttls = {"": True, "tls=true": True, "tls=false": False}.get(parts.query)
    if not usual_port or not parts.hostname or parts.path not in ("", "/") or starttls is None:
        raise ImproperlyConfigured(
            f"{variable} must look like smtp://user:password@host:587, smtps://host or console"
        )
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": port or usual_port,
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp" and starttls,
    }


def derived_password(secret_key: str, login: str) -> str:
    """Return the password of a log-in that Vigil makes itself; it follows from the secret key."""
    digest = hmac.new(secret_key.encode(), f"database log-in {login}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
