"""What ``manage.py check --deploy`` says beyond Django's own checks."""

from typing import Any

from django.conf import settings
from django.core import checks


@checks.register(deploy=True)
def mail_server_is_set(**_: Any) -> list[checks.CheckMessage]:
    """Warn that nobody is mailed anything, which a site may want and should know."""
    if settings.MAIL_ON:
        return []
    return [
        checks.Warning(
            "No mail server is set: an unblinding is shown in Vigil and mailed to nobody.",
            hint="Set VIGIL_EMAIL_URL, VIGIL_EMAIL_FROM and VIGIL_ADDRESS.",
            id="vigil.W001",
        )
    ]
