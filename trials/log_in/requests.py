"""What a request of a person tells: from where it comes, and when its session was last used."""

from datetime import UTC, datetime
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


BEGAN, LAST = "vigil_began", "vigil_last"
PROVED = "vigil_proved"  # when somebody proved anew who they are, for one change of their log-in


def address_of(request: HttpRequest | None) -> str | None:
    """Return the address a request comes from; the proxy's word counts only if there is one."""
    if request is None:
        return None
    address: str = request.META.get("REMOTE_ADDR", "")
    if settings.VIGIL_BEHIND_PROXY:
        address = request.headers.get("X-Forwarded-For", address).rpartition(",")[2].strip()
    try:
        return str(ip_address(address))
    except ValueError:
        return None


def begin_clock(request: HttpRequest, *, at: datetime) -> None:
    request.session[BEGAN] = request.session[LAST] = at.timestamp()


def instant(request: HttpRequest, name: str) -> datetime | None:
    stamp = request.session.get(name)
    return datetime.fromtimestamp(stamp, UTC) if isinstance(stamp, int | float) else None
