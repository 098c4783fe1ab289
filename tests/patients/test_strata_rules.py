from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.rules.strata import levels_of, stratum_code
from trials.rules.protocol import Factor, load_protocol


PROTOCOL = load_protocol((Path(__file__).parents[2] / "protocols/cllm1.toml").read_text())
CLAIM = {"source": "a test", "flag": "assumed"}
SEX = Factor(
    code="sex",
    label="Sex",
    variable="sex",
    levels=(
        {"code": "F", "label": "Women", "any_of": ["female"]},
        {"code": "M", "label": "Men", "any_of": ["male"]},
    ),
    **CLAIM,
)
PRIOR = Factor(
    code="prior",
    label="Prior therapy",
    variable="prior",
    levels=(
        {"code": "Y", "label": "Treated before", "any_of": [True]},
        {"code": "N", "label": "Not treated before", "any_of": [False]},
    ),
    **CLAIM,
)


def mrd(level):
    return levels_of({"mrd_level": Decimal(level)}, PROTOCOL.factors)["mrd"]


def turned(factor):
    return factor.model_copy(update={"levels": factor.levels[::-1]})


@pytest.mark.parametrize(
    ("level", "stratum"),
    [("1", "H"), ("0.01", "H"), ("0.00999999", "I"), ("0.0001", "I")],
)
def test_a_bound_belongs_to_the_level_above_it(level, stratum):
    backwards = tuple(turned(factor) for factor in PROTOCOL.factors)

    assert mrd(level) == stratum
    assert levels_of({"mrd_level": Decimal(level)}, backwards) == {"mrd": stratum}


@pytest.mark.parametrize("level", ["0.00009999", None])
def test_no_level_holds_low_risk_or_what_is_not_known(level):
    value = level and Decimal(level)

    with pytest.raises(ValueError, match="no level of mrd"):
        levels_of({"mrd_level": value}, PROTOCOL.factors)


@given(st.decimals("0.0001", "1", places=8))
def test_every_eligible_value_falls_into_exactly_one_level(value):
    (factor,) = PROTOCOL.factors
    holding = [
        level.code
        for level in factor.levels
        if levels_or_none(value, factor.model_copy(update={"levels": (level,)}))
    ]

    assert holding == [mrd(value)]
    assert (mrd(value) == "H") == (value >= Decimal("0.01"))


def levels_or_none(value, factor):
    try:
        return levels_of({factor.variable: value}, [factor])
    except ValueError:
        return None


def test_yes_and_no_and_choices_are_levels_too():
    found = levels_of({"sex": "female", "prior": False}, [SEX, PRIOR])

    assert found == {"sex": "F", "prior": "N"}
    assert stratum_code(found, [SEX, PRIOR]) == "F-N"
    assert stratum_code(found, [PRIOR, SEX]) == "N-F"


def test_a_level_of_one_kind_holds_no_value_of_another():
    with pytest.raises(ValueError, match="no level of prior holds 1"):
        levels_of({"prior": 1}, [PRIOR])


def test_the_site_makes_no_stratum_and_no_factor_makes_one_stratum():
    assert stratum_code({"sex": "M", "site": "DE-01"}, [SEX]) == "M"
    assert stratum_code({}, []) == "ALL"
