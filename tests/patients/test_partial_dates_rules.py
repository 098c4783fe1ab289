from datetime import date, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from patients.rules.partial_dates import Imputation, PartialDate, earliest_not_before


days = st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 12, 31))
partials = st.builds(
    lambda day, length: PartialDate(day.isoformat()[:length]), days, st.sampled_from([4, 7, 10])
)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2014", date(2014, 1, 1), date(2014, 12, 31)),
        ("2014-03", date(2014, 3, 1), date(2014, 3, 31)),
        ("2015-02", date(2015, 2, 1), date(2015, 2, 28)),
        ("2016-02", date(2016, 2, 1), date(2016, 2, 29)),
        ("2014-03-09", date(2014, 3, 9), date(2014, 3, 9)),
    ],
)
def test_a_partial_date_is_every_day_it_can_mean(text, first, last):
    partial = PartialDate(text)

    assert (partial.first_day, partial.last_day) == (first, last)
    assert str(partial) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "14",
            "2014-3",
            "2014-03-9",
            "2014-03-09T00:00",
            "03-2014",
            " 2014",
            "2014\n",
            "٢٠١٤",
        ),
        *("0000", "2014-00", "2014-13", "2014-02-29", "2014-04-31", "2014-01-00"),
    ],
)
def test_a_day_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a year|in no calendar"):
        PartialDate(text)


def test_the_leap_day_exists_in_leap_years_only():
    assert PartialDate("2016-02-29").is_complete
    with pytest.raises(ValueError, match="calendar"):
        PartialDate("2015-02-29")


def test_after_a_day_means_certainly_after():
    march = PartialDate("2014-03")

    assert march.is_after(date(2014, 2, 28))
    assert not march.is_after(date(2014, 3, 1))


def test_before_another_means_certainly_before():
    assert PartialDate("2014-03").is_before(PartialDate("2014-04"))
    assert not PartialDate("2014-03").is_before(PartialDate("2014-03-31"))
    assert not PartialDate("2014-03").is_before(PartialDate("2014"))


@pytest.mark.parametrize(
    ("text", "floor", "day", "rule"),
    [
        ("2014-03-09", date(2014, 3, 20), date(2014, 3, 9), Imputation.AS_RECORDED),
        ("2014-03", date(2014, 2, 28), date(2014, 3, 1), Imputation.EARLIEST_NOT_BEFORE),
        ("2014-03", date(2014, 3, 20), date(2014, 3, 20), Imputation.EARLIEST_NOT_BEFORE),
        ("2014-03", date(2014, 3, 31), date(2014, 3, 31), Imputation.EARLIEST_NOT_BEFORE),
        ("2014-03", date(2014, 4, 1), date(2014, 3, 1), Imputation.EARLIEST_NOT_BEFORE),
        ("2014", date(2014, 7, 1), date(2014, 7, 1), Imputation.EARLIEST_NOT_BEFORE),
    ],
)
def test_a_missing_day_is_the_earliest_not_before_the_floor(text, floor, day, rule):
    imputed = earliest_not_before(PartialDate(text), floor)

    assert (imputed.day, imputed.rule) == (day, rule)
    assert imputed.is_imputed == (rule is not Imputation.AS_RECORDED)


@given(partials)
def test_a_partial_date_covers_its_ends_and_nothing_beyond(partial):
    assert partial.covers(partial.first_day)
    assert partial.covers(partial.last_day)
    assert not partial.covers(partial.first_day - timedelta(days=1))
    assert not partial.covers(partial.last_day + timedelta(days=1))


@given(days)
def test_a_whole_day_stays_itself(day):
    partial = PartialDate.of(day)

    assert partial.is_complete
    assert partial.first_day == partial.last_day == day
    assert not earliest_not_before(partial, day).is_imputed


@given(partials, partials)
def test_two_partial_dates_are_never_each_before_the_other(one, other):
    assume(one.is_before(other))

    assert not other.is_before(one)
    assert other.is_after(one.last_day)


@given(partials, days)
def test_imputation_never_leaves_the_days_that_were_told(partial, floor):
    day = earliest_not_before(partial, floor).day

    assert partial.covers(day)
    if not partial.is_complete and partial.last_day >= floor:
        assert day >= floor
