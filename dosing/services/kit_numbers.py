"""Kit numbers for labels, drawn so that they mean nothing."""

import secrets
from datetime import datetime
from uuid import UUID

from django.db import transaction

from dosing.errors import KitsRefused
from dosing.events import KitNumbersDrawn
from dosing.models import Kit, KitNumberDraw
from dosing.rules.kits import SPACE, with_check_digit
from events.outbox import publish
from events.outcomes import Reason
from events.reading import reading_as_system
from trials.models import Trial, User
from trials.permissions import Permission, authorise


MOST_NUMBERS = 10_000


@transaction.atomic
def draw_kit_numbers(*, trial_id: UUID, count: int, by: User, at: datetime) -> KitNumberDraw:
    """Draw kit numbers by chance, none given out before: nine digits, the last one a check digit.

    They are stored sorted. Deal them out in the order ``dealt`` returns, which is kept nowhere.
    The trial's row is locked, so two draws share no number. Publishes ``KitNumbersDrawn``. Raises
    ``KitsRefused`` for a count that is not 1 to 10,000.
    """
    trial = Trial.objects.visible_to(by).get(pk=trial_id)
    authorise(by, Permission.SUPPLY_KITS, trial=trial)
    if not 1 <= count <= MOST_NUMBERS:
        raise KitsRefused(Reason("count", f"Draw 1 to {MOST_NUMBERS} numbers at once."))
    Trial.objects.select_for_update(no_key=True).get(pk=trial.pk)
    with reading_as_system("a kit number is given once, over all sites"):
        taken = set(Kit.objects.values_list("number", flat=True))
    for numbers in KitNumberDraw.objects.values_list("numbers", flat=True):
        taken.update(numbers)
    drawn: set[str] = set()
    while len(drawn) < count:
        number = with_check_digit(secrets.randbelow(SPACE))
        if number not in taken:
            drawn.add(number)
    draw = KitNumberDraw.objects.create(
        trial=trial, numbers=sorted(drawn), drawn_by=by, drawn_at=at
    )
    publish(KitNumbersDrawn(stream=trial.code, draw_id=draw.pk, count=count), at=at)
    return draw


def dealt(draw: KitNumberDraw) -> list[str]:
    """Return a draw's numbers in an order by chance, another one each time it is asked for."""
    numbers = list(draw.numbers)
    secrets.SystemRandom().shuffle(numbers)
    return numbers
