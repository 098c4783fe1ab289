"""The design a sealed list was made for, as it is stored beside the list and under its digest."""

import json

from trials.rules.protocol import Protocol


def parameters_of(protocol: Protocol) -> str:
    """Return the design as JSON with sorted keys: the same design is the same text."""
    return json.dumps(
        {
            "method": protocol.randomisation.method,
            "equal_arms": [arm.code for arm in protocol.arms for _ in range(arm.ratio)],
            "strata": [stratum.code for stratum in protocol.strata],
            "blocks": list(protocol.randomisation.block_sizes),
        },
        sort_keys=True,
        separators=(",", ":"),
    )
