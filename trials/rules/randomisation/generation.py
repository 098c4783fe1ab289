"""Lists from a seed: the same on any machine and in any version of Python.

The generator is named ``vigil-sha256-ctr-v1`` and is all of this:

1. A *stream* belongs to a seed and a label. Its block i (from 0) is the SHA-256 of
   ``part(name) + part(seed) + part(label) + i``, where ``part(x)`` is the length of x in bytes as
   4 bytes followed by x, texts are UTF-8, and i is written as 8 bytes. All numbers have their most
   significant byte first.
2. Each block is cut into eight *words* of 32 bits, in order.
3. A number *below n* is the next word modulo n, after words that are not below the largest
   multiple of n have been thrown away; so every number is equally likely. Below 1 is 0, and takes
   no word.

The label of a stratum's list is ``stratum`` and a space and its code. Other strata and the length
of the list are not in it: a stratum that is added changes no other one, and a longer list begins
with the shorter one. A change to any of this needs a new name.

Permuted blocks: a number below the sum of the weights picks the size, in the order of the design;
the block holds each arm in the order of the design, as often as the ratio says; then, for each
place from the last down to the second, it changes places with one drawn from the first up to
itself (Fisher-Yates). Blocks follow until the planned length is reached; the last one is whole.

Simple: a number below the sum of the ratios, for each place, picks from ``Design.equal_arms``.

Minimisation: no arms, but one word for each subject to come, from the label ``draws``. See
``minimisation``.

Source: FIPS 180-4 (SHA-256); Knuth, The Art of Computer Programming 2, 3.4.2, algorithm P.
"""

from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from struct import unpack
from typing import NamedTuple

from trials.rules.randomisation.design import BlockSize, Design


GENERATOR = "vigil-sha256-ctr-v1"
DRAW_BITS = 32
_WORDS = 1 << DRAW_BITS


class Entry(NamedTuple):
    """One place of a list: a stratum and its arm, or in a minimisation a draw (0 to 2^32 - 1)."""

    stratum: str
    arm: str = ""
    draw: int | None = None


def generate(design: Design, *, seed: bytes | str, length: int | None = None) -> tuple[Entry, ...]:
    """Return the list of a seed, stratum after stratum, each in the order of allocation.

    ``length`` is that of each stratum, the design's if missing. A list of permuted blocks ends
    with the whole block that reaches it.
    """
    wanted = design.length if length is None else length
    secret = seed.encode() if isinstance(seed, str) else seed
    if design.method == "minimisation":
        draws = islice(words(secret, "draws"), wanted)
        return tuple(Entry("", "", draw) for draw in draws)
    entries: list[Entry] = []
    for stratum in design.strata:
        stream = words(secret, f"stratum {stratum}")
        if design.method == "simple":
            equal = design.equal_arms
            arms = [equal[below(stream, len(equal))] for _ in range(wanted)]
        else:
            arms = _blocks(design, stream, wanted)
        entries += [Entry(stratum, arm) for arm in arms]
    return tuple(entries)


def words(seed: bytes, label: str) -> Iterator[int]:
    """Yield the stream of a seed and a label, as numbers of 32 bits, without end."""
    parts = (GENERATOR.encode(), seed, label.encode())
    prefix = sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts))
    number = 0
    while True:
        block = prefix.copy()
        block.update(number.to_bytes(8, "big"))
        yield from unpack(">8I", block.digest())
        number += 1


def below(stream: Iterator[int], bound: int) -> int:
    """Return a number from 0 to ``bound - 1``, each equally likely."""
    if bound == 1:
        return 0
    limit = _WORDS - _WORDS % bound
    while (word := next(stream)) >= limit:
        pass
    return word % bound


def _blocks(design: Design, stream: Iterator[int], wanted: int) -> list[str]:
    ordered = {
        block.size: [
            arm.code for arm in design.arms for _ in range(arm.ratio * block.size // design.unit)
        ]
        for block in design.blocks
    }
    arms: list[str] = []
    while len(arms) < wanted:
        block = ordered[_size(design.blocks, stream)].copy()
        for last in range(len(block) - 1, 0, -1):
            other = below(stream, last + 1)
            block[last], block[other] = block[other], block[last]
        arms += block
    return arms


def _size(blocks: tuple[BlockSize, ...], stream: Iterator[int]) -> int:
    place = below(stream, sum(block.weight for block in blocks))
    for block in blocks[:-1]:
        if place < block.weight:
            return block.size
        place -= block.weight
    return blocks[-1].size
