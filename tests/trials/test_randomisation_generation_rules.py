r"""The named generator: known answers, and what never changes under it.

The digests were computed apart from the code under test, with printf and OpenSSL 3.0. Block 0 of
the first stream, whose last eight bytes are the block's number:

    { printf '\0\0\0\023vigil-sha256-ctr-v1'; printf '\0\0\0\015known answers';
      printf '\0\0\0\011stratum H'; printf '\0\0\0\0\0\0\0\0'; } | openssl dgst -sha256

The arms were worked out from these digests by hand, as the comments beside them show.
"""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import PROTOCOL
from trials.rules.protocol import load_protocol
from trials.rules.randomisation import (
    GENERATOR,
    BlockSize,
    Design,
    DesignArm,
    Entry,
    Minimisation,
    MinimisedFactor,
    design_of,
    generate,
    list_problems,
)
from trials.rules.randomisation.generation import below, words


SEED = "known answers"
CLLM1 = load_protocol(PROTOCOL)
FIXED = design_of(CLLM1)
SIMPLE = replace(FIXED, method="simple", blocks=())
VARYING = replace(FIXED, blocks=(BlockSize(3, 1), BlockSize(6, 2)))
MINIMISED = replace(
    FIXED,
    method="minimisation",
    strata=(),
    blocks=(),
    minimisation=Minimisation((MinimisedFactor("site", 1, ()),), "range", Fraction(4, 5)),
)


def arms(design, stratum="H", **options):
    entries = generate(design, seed=SEED, **options)
    return "".join(entry.arm for entry in entries if entry.stratum == stratum)


def test_the_generator_has_a_name():
    assert GENERATOR == "vigil-sha256-ctr-v1"


@pytest.mark.parametrize(
    ("label", "block", "digest"),
    [
        (
            "stratum H",
            0,
            "2a0bd60f32ddf5fa35ed1e100a62925cb08f65324837524768d2fb46f891bf9b",
        ),
        (
            "stratum H",
            1,
            "10c55f022d9ec371df54018f2f70b2c3560692227ea6bc585ac4b226f04d0386",
        ),
        (
            "draws",
            0,
            "1c0f31e0e823a7c985edc06f2fe6c90d02732bf40f14b1f4449ecb3b503e9db3",
        ),
    ],
)
def test_the_stream_is_the_sha256_of_seed_label_and_number(label, block, digest):
    stream = islice(words(SEED.encode(), label), 8 * block, 8 * block + 8)

    assert "".join(f"{word:08x}" for word in stream) == digest


def test_blocks_of_three_are_those_worked_out_by_hand():
    # From L L P each time: a word modulo 3 says with whom the third changes places, then one
    # modulo 2 with whom the second does.
    # 2a0bd60f mod 3 = 0: P L L; 32ddf5fa mod 2 = 0: L P L
    # 35ed1e10 mod 3 = 0: P L L; 0a62925c mod 2 = 0: L P L
    # b08f6532 mod 3 = 2: L L P; 48375247 mod 2 = 1: L L P
    # 68d2fb46 mod 3 = 2: L L P; f891bf9b mod 2 = 1: L L P
    assert arms(FIXED, length=12) == "LPLLPLLLPLLP"


def test_simple_randomisation_is_the_one_worked_out_by_hand():
    # The words of the first digest modulo 3, where 0 and 1 are L and 2 is P: 0 1 0 1 2 1 2 1.
    assert arms(SIMPLE, length=8) == "LLLLPLPL"


def test_a_varying_size_is_drawn_before_its_block():
    # 2a0bd60f mod 3 = 0, below the weight 1: a block of 3. 32ddf5fa mod 3 = 1: L P L;
    # 35ed1e10 mod 2 = 0: P L L.
    # 0a62925c mod 3 = 1: a block of 6, from L L L L P P. b08f6532 mod 6 = 2: L L P L P L;
    # 48375247 mod 5 = 0: P L P L L L; 68d2fb46 mod 4 = 2: P L L P L L;
    # f891bf9b mod 3 = 1: as it was; 10c55f02 mod 2 = 0: L P L P L L.
    assert arms(VARYING, length=9) == "PLL" + "LPLPLL"


def test_draws_are_the_words_themselves():
    entries = generate(MINIMISED, seed=SEED, length=2)

    assert entries == (Entry("", "", 0x1C0F31E0), Entry("", "", 0xE823A7C9))


def test_a_seed_in_bytes_and_in_text_is_the_same_seed():
    assert generate(FIXED, seed=SEED.encode()) == generate(FIXED, seed=SEED)
    assert generate(FIXED, seed="known answer") != generate(FIXED, seed=SEED)


def test_words_above_the_last_whole_multiple_are_thrown_away():
    top = 2**32

    assert below(iter([top - 1, 5]), 3) == 5 % 3
    assert below(iter([top - 2, 5]), 3) == (top - 2) % 3
    assert below(iter([top - 1]), 2**32) == top - 1
    assert below(iter([]), 1) == 0


def test_the_planned_length_is_reached_with_a_whole_block():
    assert len(arms(FIXED)) == 201
    assert len(arms(FIXED, length=201)) == 201
    assert len(arms(SIMPLE)) == 200
    assert len(generate(MINIMISED, seed=SEED)) == 200


ratios = st.lists(st.integers(1, 4), min_size=2, max_size=5)


@st.composite
def block_designs(draw):
    shares = draw(ratios)
    times = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True))
    return Design(
        method="permuted_blocks",
        arms=tuple(DesignArm(f"A{number}", share) for number, share in enumerate(shares)),
        strata=("S", "T"),
        length=draw(st.integers(1, 60)),
        blocks=tuple(BlockSize(sum(shares) * n, draw(st.integers(1, 3))) for n in sorted(times)),
    )


@given(block_designs(), st.text(), st.integers(1, 40))
def test_a_longer_list_begins_with_the_shorter_and_no_stratum_changes_another(design, seed, more):
    short = generate(design, seed=seed)
    longer = generate(design, seed=seed, length=design.length + more)
    wider = generate(replace(design, strata=("R", "T", "S")), seed=seed)

    for stratum in design.strata:
        mine = [entry for entry in short if entry.stratum == stratum]
        assert [e for e in longer if e.stratum == stratum][: len(mine)] == mine
        assert [e for e in wider if e.stratum == stratum] == mine


@given(block_designs(), st.binary())
def test_every_list_is_whole_blocks_in_the_ratio(design, seed):
    entries = generate(design, seed=seed)

    for stratum in design.strata:
        listed = Counter(entry.arm for entry in entries if entry.stratum == stratum)
        blocks = {Fraction(listed[arm.code], arm.ratio) for arm in design.arms}
        assert len(blocks) == 1
        assert blocks.pop().denominator == 1
        assert design.length <= listed.total() < design.length + design.blocks[-1].size


def test_a_generated_list_fits_its_own_protocol():
    assert list_problems(generate(FIXED, seed=SEED), CLLM1) == ()
