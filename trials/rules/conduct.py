"""On which days may an act be recorded?"""

from datetime import date

from events.outcomes import Reason


def day_reasons(on: date, *, today: date, replay: bool, field: str) -> tuple[Reason, ...]:
    """Return why an act cannot be dated ``on``; empty means it can.

    Days are the site's own calendar days. No day lies in the future. In a live trial an act that
    the system itself performs (randomising, dispensing) happens today; in a replay of a finished
    trial it carries its own past day.
    """
    if on > today:
        return (Reason("future_day", f"{field} {on} lies in the future (today is {today})."),)
    if on < today and not replay:
        return (Reason("not_today", f"{field} must be today, {today}, in a live trial."),)
    return ()
