"""Damaged replies end as values or as our own errors; `bench/fuzz_jmx.py` runs it for longer."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from tests.unit.wire.jmx_grammar import invented
from tests.unit.wire.jmx_mutation import hear, mutant, samples, visit


async def test_undamaged_samples_are_understood() -> None:
    """The fuzz begins with replies that mean something, or it would prove nothing."""
    ends = Counter(hear(sample, 1 << 16) for sample in samples())
    assert ends["attributes"] >= 6
    assert ends["stub"] >= 4
    assert ends["JmxProtocolError"] == 0


async def test_mutants_raise_only_our_errors() -> None:
    """3,000 seeded mutants: no other exception escapes, and many kinds of end are reached."""
    chance = random.Random(7)
    originals = samples()
    ends = Counter(
        hear(mutant(originals, chance), chance.choice((1 << 16, 1 << 16, 64))) for _ in range(3000)
    )
    assert sum(ends.values()) == 3000
    assert {"attributes", "stub", "JmxProtocolError", "JmxConnectError", "JmxNotFound"} <= set(ends)


async def test_inventions_raise_only_our_errors() -> None:
    """2,000 replies that keep to the grammar and say what they like: the same."""
    chance = random.Random(11)
    ends = Counter(hear(invented(chance), 1 << 16) for _ in range(2000))
    assert sum(ends.values()) == 2000
    assert {"attributes", "value", "stub", "JmxProtocolError", "JmxConnectError"} <= set(ends)


async def test_visits_to_a_damaged_agent_end_in_time() -> None:
    """60 clients at an agent that damages any of its replies: read, or one of our errors."""
    chance = random.Random(13)
    async with asyncio.timeout(60):
        ends = Counter([await visit(chance) for _ in range(60)])
    assert ends["read"] > 5
    assert {"JmxProtocolError", "JmxTimeout"} <= set(ends)
