"""The design a sealed list was made for, as it is stored beside the list and under its digest.

The database computes a minimised arm from this text, and a verification generates the list anew.
"""

import json
from fractions import Fraction

from trials.rules.randomisation import (
    BlockSize,
    Design,
    DesignArm,
    Minimisation,
    MinimisedFactor,
)


def parameters_of(design: Design) -> str:
    """Return a design as JSON with sorted keys: the same design is the same text."""
    facts: dict[str, object] = {
        "method": design.method,
        "arms": [[arm.code, arm.ratio] for arm in design.arms],
        "strata": design.strata,
        "length": design.length,
    }
    if design.blocks:
        facts["blocks"] = [[block.size, block.weight] for block in design.blocks]
    if rule := design.minimisation:
        facts["equal_arms"] = design.equal_arms
        facts["imbalance"] = rule.imbalance
        facts["probability"] = rule.probability.as_integer_ratio()
        facts["factors"] = [
            {"code": factor.code, "weight": factor.weight, "levels": factor.levels}
            for factor in rule.factors
        ]
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))


def design_from(parameters: str) -> Design:
    """Return the design that ``parameters_of`` wrote."""
    facts = json.loads(parameters)
    rule = None
    if facts["method"] == "minimisation":
        rule = Minimisation(
            factors=tuple(
                MinimisedFactor(factor["code"], factor["weight"], tuple(factor["levels"]))
                for factor in facts["factors"]
            ),
            imbalance=facts["imbalance"],
            probability=Fraction(*facts["probability"]),
        )
    return Design(
        method=facts["method"],
        arms=tuple(DesignArm(code, ratio) for code, ratio in facts["arms"]),
        strata=tuple(facts["strata"]),
        length=facts["length"],
        blocks=tuple(BlockSize(size, weight) for size, weight in facts.get("blocks", ())),
        minimisation=rule,
    )
