"""May a version be submitted to a running trial, put in force at a site, its start withdrawn?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from events.outcomes import Reason
from trials.rules.protocol import Protocol
from trials.rules.protocol.amendment import Change, changes


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What is known of a site about to run a version: ``today`` is its own calendar day.

    ``in_force`` is the latest version it runs or is to run, ``since`` its first day.
    """

    code: str
    closed: bool
    today: date
    approved_on: date | None
    in_force: str = ""
    since: date | None = None
    ran_it_already: bool = False


def activation_reasons(
    version: str, facts: SiteFacts, *, in_force_from: date, replay: bool
) -> tuple[Reason, ...]:
    """Return every reason a version cannot be put in force at a site from a day; empty means go.

    An approval counts from its own day. A version begins on a later day than the one before it.
    In a live trial no day of the past is chosen: what was recorded then was under another version.
    """
    return tuple(_reasons(version, facts, in_force_from, replay))


def _reasons(version: str, facts: SiteFacts, day: date, replay: bool) -> Iterator[Reason]:
    site = facts.code
    if facts.closed:
        yield Reason("site_closed", f"{site} is closed.")
    if facts.ran_it_already:
        detail = f"Version {version} is in force at {site} already, or was."
        if version == facts.in_force:
            detail += _way_out(facts)
        yield Reason("in_force_already", detail)
    if facts.approved_on is None:
        yield Reason("not_approved", f"Version {version} is not approved at {site}.")
    elif facts.approved_on > day:
        detail = f"{site} approved version {version} on {facts.approved_on}, after {day}."
        yield Reason("approved_later", detail)
    if facts.since is not None and day <= facts.since and not facts.ran_it_already:
        detail = f"At {site} version {facts.in_force} begins on {facts.since}, not before {day}."
        detail += _way_out(facts)
        yield Reason("before_version_in_force", detail)
    if not replay and day < facts.today:
        detail = f"{day} is past at {site}, where today is {facts.today}."
        yield Reason("day_is_past", detail)


def _way_out(facts: SiteFacts) -> str:
    if facts.since is None or facts.since <= facts.today:
        return ""
    return f" Its start on {facts.since} has not come: withdraw it first."


@dataclass(frozen=True, slots=True)
class StartFacts:
    """A version's start at a site, if there is one; ``today`` is the site's own calendar day.

    ``needed``: the site is no longer planned and has no other version.
    """

    code: str
    today: date
    in_force_from: date | None
    needed: bool = False


def withdrawal_reasons(
    version: str, starts: Sequence[StartFacts], *, reason: str, lists: Sequence[int] = ()
) -> tuple[Reason, ...]:
    """Return every reason why these starts of a version cannot be withdrawn; empty means go.

    On its first day a version is in force: what is recorded from then on is under it. ``lists``
    are the numbers of the randomisation lists that were made for the version, if it would be in
    force or to come nowhere else: a list stands on an activated version.
    """
    return tuple(_against_withdrawal(version, starts, reason, lists))


def _against_withdrawal(
    version: str, starts: Sequence[StartFacts], reason: str, lists: Sequence[int]
) -> Iterator[Reason]:
    if not starts:
        yield Reason("no_site", "Name the sites at which the start is withdrawn.")
    if not reason.strip():
        yield Reason("reason_missing", "Say why the start is withdrawn.")
    for facts in starts:
        day = facts.in_force_from
        if day is None:
            detail = f"Version {version} has no start at {facts.code} to withdraw."
            yield Reason("no_start", detail)
        elif day <= facts.today:
            detail = (
                f"At {facts.code} version {version} is in force since {day}:"
                " submit another version."
            )
            yield Reason("begun_already", detail)
        elif facts.needed:
            detail = f"{facts.code} would be left without a version: put another in force first."
            yield Reason("only_version", detail)
    for number in lists:
        detail = f"Randomisation list {number} was made for version {version}."
        yield Reason("list_made", detail)


FROZEN = ("arms", "randomisation", "factors")
NOT_OF_THE_DESIGN = ("predictability_reason", "list_length")


def fixed_by_randomisation(before: Protocol, after: Protocol) -> tuple[Reason, ...]:
    """Return every change that a trial cannot take once its randomisation list is made.

    Arms, ratio, design and strata are what the sealed list was made from, and an arm's label is
    what is read in an emergency. A source, the reason for a design, or better words for a stratum
    are no such change; words that stood for another stratum before are one. How long lists are
    planned can be amended: the next extension goes by it.
    """
    return tuple(
        Reason("fixed_by_randomisation", f"{change.text}. The randomisation list is made already.")
        for change in changes(before, after)
        if change.key.split(".")[0] in FROZEN and not _only_words(change, before)
    )


def _only_words(change: Change, before: Protocol) -> bool:
    section, *path = change.key.split(".")
    if change.source_only or (section == "randomisation" and path[0] in NOT_OF_THE_DESIGN):
        return True
    # The label of a row, or of a row in it: each row is a code and what stands under it.
    of_a_label = section == "factors" and path[-1:] == ["label"] and len(path) % 2 == 0
    return of_a_label and change.after not in _labels(before)


def _labels(protocol: Protocol) -> set[str]:
    of_levels = {level.label for factor in protocol.factors for level in factor.levels}
    return of_levels | {factor.label for factor in protocol.factors}
