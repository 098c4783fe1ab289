from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.rules.strata import stratum_of
from trials.rules.protocol import load_protocol


PROTOCOL = load_protocol((Path(__file__).parents[2] / "protocols/cllm1.toml").read_text())


@pytest.mark.parametrize(
    ("mrd", "stratum"),
    [("1", "H"), ("0.01", "H"), ("0.00999999", "I"), ("0.0001", "I")],
)
def test_a_bound_belongs_to_the_stratum_above_it(mrd, stratum):
    assert stratum_of(Decimal(mrd), PROTOCOL.strata) == stratum
    assert stratum_of(Decimal(mrd), PROTOCOL.strata[::-1]) == stratum


def test_no_stratum_holds_low_risk():
    with pytest.raises(ValueError, match="no stratum"):
        stratum_of(Decimal("0.00009999"), PROTOCOL.strata)


@given(st.decimals("0.0001", "1", places=8))
def test_every_eligible_level_has_a_stratum_whatever_the_order_of_the_file(mrd):
    forwards = stratum_of(mrd, PROTOCOL.strata)

    assert forwards == stratum_of(mrd, PROTOCOL.strata[::-1])
    assert (forwards == "H") == (mrd >= PROTOCOL.eligibility.mrd_high.value)
