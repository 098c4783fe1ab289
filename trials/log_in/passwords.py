"""The rule on passwords that Django does not bring: not one of the last ones."""

from django.contrib.auth.hashers import check_password
from django.core.exceptions import ValidationError

from trials.models import UsedPassword, User


class NotUsedBefore:
    """Refuses the password somebody has, and the ``remembered`` ones before it."""

    def __init__(self, remembered: int = 5) -> None:
        self.remembered = remembered

    def validate(self, password: str, user: User | None = None) -> None:
        if user is None or user.pk is None:
            return
        used = UsedPassword.objects.filter(user=user).order_by("-set_at", "-pk")
        hashes = [user.password, *used.values_list("hash", flat=True)[: self.remembered]]
        if any(check_password(password, each) for each in hashes):
            raise ValidationError(self.get_help_text(), code="password_used")

    def get_help_text(self) -> str:
        return f"Choose a password that was not one of your last {self.remembered + 1}."
