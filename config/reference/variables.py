"""The page of settings: the environment variables, and what each means."""

import ast
import dataclasses
import re

from config.reference.code import ROOT
from config.reference.markdown import code, page, table


VARIABLE = re.compile(r"VIGIL_[A-Z_]+|DATABASE(_APP|_SEALED)?_URL|REDIS_URL")


@dataclasses.dataclass(frozen=True, slots=True)
class Meaning:
    """What a variable means; ``default`` in words where the code's own says too little."""

    text: str
    default: str = ""


MEANINGS = {
    "VIGIL_ENV": Meaning(
        "`production` asks for a key and host names, sends everybody to HTTPS, and guards cookies. "
        "Anything else is development."
    ),
    "VIGIL_DEBUG": Meaning("Django's error pages, which quote data. Refused in production."),
    "VIGIL_SECRET_KEY": Meaning(
        "Signs sessions and tokens. The passwords of log-ins without a URL of their own follow "
        "from it.",
        default="none in production; otherwise made once in `.vigil/secret-key`",
    ),
    "VIGIL_HOSTS": Meaning(
        "Host names the site answers to, with commas between.",
        default="none in production; otherwise `127.0.0.1,localhost,testserver`",
    ),
    "DATABASE_URL": Meaning(
        "The owner's log-in, `postgres://user:password@host:5432/database`; options of libpq may "
        "follow as `?sslmode=require`. For `migrate` only: leave it away from web and worker.",
        default="the embedded server's owner",
    ),
    "DATABASE_APP_URL": Meaning(
        "The application's log-in, for web and worker. Needed in production without "
        "`DATABASE_URL`.",
        default="the owner's URL with the log-in `vigil_app` and a derived password",
    ),
    "DATABASE_SEALED_URL": Meaning(
        "The log-in of looks behind the blind, for web and worker. Needed in production without "
        "`DATABASE_URL`.",
        default="the owner's URL with the log-in `vigil_sealed` and a derived password",
    ),
    "REDIS_URL": Meaning(
        "Valkey or Redis: the queue between web, scheduler and workers, and a cache. Holds nothing "
        "that PostgreSQL does not.",
        default="the embedded server's, or `redis://127.0.0.1:56379/0`",
    ),
    "VIGIL_STATIC_ROOT": Meaning(
        "Where `collectstatic` puts files.", default="`staticfiles` in the checkout"
    ),
    "VIGIL_SESSION_SECONDS": Meaning(
        "The longest time a log-in to the web admin lasts, however much is done in it."
    ),
    "VIGIL_IDLE_SECONDS": Meaning("After how long without a request a log-in ends."),
    "VIGIL_MFA_REQUIRED": Meaning(
        "Whether everybody needs a second factor. Who has none yet reaches only the pages where it "
        "is added.",
        default="true in production, otherwise false",
    ),
    "VIGIL_LOCK_FAILURES": Meaning("How many failed attempts under one user name lock it."),
    "VIGIL_LOCK_ADDRESS_FAILURES": Meaning(
        "How many failed attempts from one address, under any names, lock it to names that did not "
        "log in from there in the last 30 days."
    ),
    "VIGIL_LOCK_SECONDS": Meaning(
        "How long a lock lasts, and how close together failed attempts must be to count."
    ),
    "VIGIL_PASSWORDS_REMEMBERED": Meaning(
        "How many passwords before the present one may not be chosen again."
    ),
    "VIGIL_OIDC_ISSUER": Meaning(
        "The OpenID Connect provider for single sign-on, as `https://id.example/realm`; its "
        "`/.well-known/openid-configuration` is read. Without it there is no single sign-on.",
        default="none",
    ),
    "VIGIL_OIDC_NAME": Meaning("What the button of the single sign-on says."),
    "VIGIL_OIDC_CLIENT_ID": Meaning(
        "Vigil's client id at the provider. Needed with `VIGIL_OIDC_ISSUER`.", default="none"
    ),
    "VIGIL_OIDC_CLIENT_SECRET": Meaning(
        "Its secret. Needed with `VIGIL_OIDC_ISSUER`.", default="none"
    ),
    "VIGIL_EMAIL_URL": Meaning(
        "The mail server that notices are sent through. `smtp://user:password@host:587` asks for "
        "STARTTLS and refuses to send without it; `?tls=false` after it sends in the clear. "
        "`smtps://host` is encrypted from the start (port 465). `console` prints mails instead, "
        "outside production. Without it nothing is sent.",
        default="none",
    ),
    "VIGIL_EMAIL_FROM": Meaning(
        "The sender, as `Vigil <vigil@example.org>`. Needed with `VIGIL_EMAIL_URL`.", "none"
    ),
    "VIGIL_ADDRESS": Meaning(
        "Where people open Vigil, as `https://vigil.example`: for the links in mails. Needed with "
        "`VIGIL_EMAIL_URL`.",
        default="none",
    ),
    "VIGIL_TOKEN_SECONDS": Meaning("How long an access token lasts."),
    "VIGIL_BEHIND_PROXY": Meaning(
        "Set it only if a proxy in front overwrites `X-Forwarded-Proto` and adds to "
        "`X-Forwarded-For`: they are then believed."
    ),
    "VIGIL_ORIGINS": Meaning("Origins trusted for forms, as `https://vigil.example`.", "none"),
    "VIGIL_MAX_BODY_BYTES": Meaning("The largest API request; a larger one is answered 413."),
    "VIGIL_SUMMARY_SWEEP_SECONDS": Meaning("How often missing safety summaries are looked for."),
    "VIGIL_HOME": Meaning(
        "The folder whose `.vigil` holds the embedded servers' data, the development key, logs and "
        "reports. Not needed where the servers are yours.",
        default="the checkout",
    ),
    "VIGIL_LOG_LEVEL": Meaning("Python's log level."),
}


def settings_page() -> str:
    intro = (
        "Everything that is told from outside, as environment variables. A variable that is needed "
        "and missing stops the start with its name."
    )
    defaults = variables()
    rows = []
    for name, meaning in MEANINGS.items():
        if name in defaults:
            default = meaning.default or code(defaults[name])
            rows.append((code(name), default, meaning.text))
    missing = sorted(set(defaults) - set(MEANINGS))
    if missing:
        raise LookupError(
            f"{', '.join(missing)}: say in config/reference/variables.py what it means"
        )
    return page("Settings", intro, table(("variable", "default", "meaning"), rows))


def variables() -> dict[str, str]:
    """Return every environment variable the settings read, with its default as the code has it."""
    found: dict[str, str] = {}
    for name in ("settings.py", "environment.py"):
        for node in ast.walk(ast.parse((ROOT / "config" / name).read_text())):
            if isinstance(node, ast.Constant) and VARIABLE.fullmatch(str(node.value)):
                found.setdefault(str(node.value), "")
            if isinstance(node, ast.Call):
                found.update(_default(node))
    return found


def _default(call: ast.Call) -> dict[str, str]:
    """Return the variable a helper of ``config.environment`` is asked for, with its default."""
    if not ast.unparse(call.func).startswith("env.") or not call.args:
        return {}
    name = getattr(call.args[0], "value", None)
    if not isinstance(name, str) or not VARIABLE.fullmatch(name):
        return {}
    given = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
    shown = ast.unparse(given[0]).strip("'\"") if given else ""
    return {name: shown.replace("False", "false").replace("True", "true")}
