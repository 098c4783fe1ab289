"""Which words of a text name an arm, and are covered or refused."""

from types import SimpleNamespace

import pytest

from patients.rules.unblinding import masked, names_an_arm


ARMS = [
    SimpleNamespace(code="LEN", label="Lenalidomide"),
    SimpleNamespace(code="P", label="Placebo"),
    SimpleNamespace(code="LEN 2", label="Lenalidomide (low dose)"),
]


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("On lenalidomide.", "On [treatment]."),
        ("The placebos were mixed up", "The [treatment] were mixed up"),
        ("She takes LEN now", "She takes [treatment] now"),
        ("len, not Placebo", "[treatment], not [treatment]"),
        ("Lenalidomide (low dose) it was", "[treatment] it was"),
        ("LEN 2 it was", "[treatment] it was"),
    ],
)
def test_a_name_of_an_arm_is_covered_and_refused(text, covered):
    assert masked(text, ARMS) == covered
    assert names_an_arm(text, ARMS)


@pytest.mark.parametrize(
    "text", ["", "P = 0.05", "A lens was lent", "Silence", "Neutropenic fever"]
)
def test_other_words_stay(text):
    assert masked(text, ARMS) == text
    assert not names_an_arm(text, ARMS)
