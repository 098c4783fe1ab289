"""Every leaf of the protocol schema reaches a subject, or is named as one that reaches nobody."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from reporting.impact import Amendment, Measured, Standing, effects
from reporting.impact.reach import BY_RULE, CLAIM, IN_WORDS, NOBODY, effects_of
from trials.rules.protocol import Protocol, load_protocol


TEXT = (Path(__file__).parents[2] / "protocols/cllm1.toml").read_text()
BEFORE = load_protocol(TEXT.replace("reconsent = false", "reconsent = true"))
WRITTEN = BEFORE.model_dump(by_alias=True)
DAY = date(2026, 4, 1)


# --- The leaves of the schema, and another value for each -------------------------------------


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        tables = list(models_in(field.annotation))
        if not tables:
            yield here
        for table in tables:
            yield from leaves(table, here)


def models_in(hint: Any) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for inner in get_args(hint):
        yield from models_in(inner)


def hint_of(path: tuple[str, ...], model: type[BaseModel] = Protocol) -> Any:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    hint = fields[path[0]].annotation
    return hint if len(path) == 1 else hint_of(path[1:], next(models_in(hint)))


def choices_in(hint: Any) -> list[Any]:
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [choice for inner in get_args(hint) for choice in choices_in(inner)]


def others(value: Any, hint: Any) -> Iterator[Any]:
    """Yield values that a key could hold instead; the schema decides which of them it can."""
    yield from (choice for choice in choices_in(hint) if choice != value)
    match value:
        case None:
            yield from (1, Decimal("0.5"), "X1", "words", True, (1,), ("x1", "x2"), (True,))
        case bool():
            yield not value
        case int() | Decimal():
            yield from (value + 1, Decimal(value) / 2)
        case str():
            yield from (f"{value}x", f"{value}X", f"{value}.1")
        case date():
            yield value + timedelta(1)
        case Mapping():
            yield {**value, "another": "one"}
        case tuple():
            yield value[1:]
            yield from ((*value[:-1], other) for other in others(value[-1], hint))


def made(model: type[BaseModel]) -> dict[str, Any]:
    """Return a table that is not in the file, with every key it needs."""
    table: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if inner := next(models_in(field.annotation), None):
            table[field.alias or name] = made(inner)
        elif field.is_required():
            table[field.alias or name] = next(others(None, field.annotation))
    try:
        model.model_validate(table)
    except ValidationError as error:
        for wrong in error.errors():
            name = str(wrong["loc"][0])
            options = (value for value in others(None, None) if fits(model, name, value, table))
            table[name] = next(options, (table[name],))
    return table


def fits(model: type[BaseModel], name: str, value: Any, table: dict[str, Any]) -> bool:
    try:
        model.model_validate({**table, name: value})
    except ValidationError as error:
        return all(wrong["loc"][0] != name for wrong in error.errors())
    return True


def changed(path: tuple[str, ...]) -> Protocol:
    """Return the protocol with another value of a leaf, in every row that has one."""
    for attempt in range(12):
        data = deepcopy(WRITTEN)
        change(data, path, path, attempt)
        try:
            protocol = Protocol.model_validate(data)
        except ValidationError:
            continue
        if protocol != BEFORE:
            return protocol
    raise AssertionError(f"no other value found for {'.'.join(path)}")


def change(data: dict[str, Any], path: tuple[str, ...], whole: tuple[str, ...], nth: int) -> None:
    key, rest = path[0], path[1:]
    hint = hint_of(whole[: len(whole) - len(rest)])
    if not rest:
        found = list(others(data.get(key), hint))
        data[key] = found[min(nth, len(found) - 1)]
        return
    if data.get(key) is None:
        table = next(models_in(hint))
        data[key] = (made(table), made(table)) if is_repeated(hint) else made(table)
    inside = data[key] if isinstance(data[key], tuple) else (data[key],)
    there = [row for row in inside if has(row, rest)] or list(inside)
    for row in there:
        change(row, rest, whole, nth)


def has(row: dict[str, Any], path: tuple[str, ...]) -> bool:
    value = row.get(path[0])
    if value is None or len(path) == 1:
        return value is not None
    rows = value if isinstance(value, tuple) else (value,)
    return any(has(inner, path[1:]) for inner in rows)


def is_repeated(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(is_repeated(inner) for inner in get_args(hint))


# --- Subjects built to be affected ------------------------------------------------------------


def taken(**values: str) -> dict[str, Measured]:
    return {name: Measured(Decimal(value), DAY - timedelta(6)) for name, value in values.items()}


SCREENED = Standing("1", sex="male", signed=("1.0",), screened_under="1.0")
TREATED = Standing(
    "2",
    sex="male",
    signed=("1.0",),
    screened_under="1.0",
    randomised_on=DAY - timedelta(40),
    dose_mg=Decimal(5),
    decided=((2, Decimal(10)),),
    next_cycle=2,
    cycle=1,
    cycle_day_1=DAY - timedelta(10),
    category="MALE",
    newest=taken(anc="1.5", platelets="50.5", creatinine_clearance="30.5"),
)
CAST = (
    SCREENED,
    replace(SCREENED, signed=("0.9",)),
    TREATED,
    replace(TREATED, newest=taken(creatinine_clearance="60.5")),
    replace(TREATED, unblinded=("emergency",)),
    replace(TREATED, sex="female", category="FCBP"),
    replace(TREATED, sex="female", category="FCBP", cycle=None, cycle_day_1=None, next_cycle=1),
    replace(TREATED, sex="female", category="FNCBP", menopause_months=24, evidence="chart"),
    replace(TREATED, treatment_ended_on=DAY - timedelta(5)),
)


def listed(before: Protocol, after: Protocol) -> set[str]:
    amendment = Amendment(before, after, DAY)
    return {row.effect for subject in CAST for row in effects(subject, amendment)}


def name_of(path: tuple[str, ...]) -> str:
    return ".".join(path).removesuffix(".value")


LEAVES = {name_of(path): path for path in leaves(Protocol)}
CLAIMS = {name for name in LEAVES if name.split(".")[-1] in CLAIM}
FIXED = {name for name, path in LEAVES.items() if len(choices_in(hint_of(path))) == 1}
"""Leaves with one value: units, and what only one analysis is written for. They cannot change."""


def test_nobody_is_listed_when_nothing_changes():
    assert listed(BEFORE, BEFORE) == set()


@pytest.mark.parametrize("leaf", sorted(LEAVES.keys() - CLAIMS - FIXED))
def test_every_leaf_has_an_effect_or_is_named_as_one_that_affects_nobody(leaf):
    expected = effects_of(leaf)

    assert bool(expected) != (leaf in NOBODY), f"{leaf} stands in no table of reach.py, or in two"


@pytest.mark.parametrize("leaf", sorted(LEAVES.keys() - CLAIMS - FIXED - NOBODY.keys()))
def test_a_change_of_a_leaf_with_an_effect_lists_a_subject_built_to_be_affected(leaf):
    after = changed(LEAVES[leaf])
    pair = (after, BEFORE) if leaf == "consent.reconsent" else (BEFORE, after)

    assert effects_of(leaf) & listed(*pair)


@pytest.mark.parametrize("leaf", sorted((CLAIMS | NOBODY.keys()) - FIXED))
def test_a_change_of_a_leaf_that_affects_nobody_lists_nobody(leaf):
    after = changed(LEAVES[leaf])

    assert listed(BEFORE, after) == set()


def test_the_tables_name_nothing_that_the_schema_does_not_have():
    heads = {name.rsplit(".", n)[0] for name in LEAVES for n in range(name.count(".") + 1)}

    assert not (BY_RULE.keys() | IN_WORDS.keys()) - heads
    assert not NOBODY.keys() - LEAVES.keys()
    assert all(reason.endswith(".") for reason in NOBODY.values())


def test_a_key_that_no_table_knows_has_no_effect_to_hide_behind():
    assert effects_of("dosing.a_new_key") == frozenset()
    assert effects_of("a_new_table.key") == frozenset()
