"""The beats of the eyes: they stay where they are, whoever asks for a look between two of them."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from kafka_self_healing.monitoring.rhythm import JITTER, SAME_BEAT, chance_of, next_beat

times = st.floats(0, 1e7)
intervals = st.floats(0.1, 86_400)
parts = st.floats(0, 1, exclude_max=True)


@given(times, intervals, parts, parts)
def test_the_next_beat_is_never_far(
    began: float, interval: float, phase: float, chance: float
) -> None:
    """It is later than the look, and at most an interval and its jitter later."""
    due = next_beat(began, interval, phase, chance)
    slack = 1e-6 * (1 + began)
    assert began - slack < due
    assert due <= began + interval * (1 + JITTER + SAME_BEAT) + slack


@given(st.integers(0, 10_000), intervals, parts, st.lists(parts, min_size=3, max_size=3))
def test_a_look_between_two_beats_does_not_move_them(
    beat: int, interval: float, phase: float, chances: list[float]
) -> None:
    """Whether or not somebody asked in between, the beat after the next one is the same."""
    first = interval * (phase + beat + JITTER * chances[0])
    between = first + interval / 3
    assert next_beat(first, interval, phase, chances[1]) == pytest.approx(
        next_beat(between, interval, phase, chances[1])
    )


def test_chance_is_the_same_for_the_same() -> None:
    """It depends on all parts, and on nothing else."""
    assert chance_of(1, "a", 2) == chance_of(1, "a", 2)
    assert len({chance_of(seed, "a", number) for seed in range(5) for number in range(20)}) == 100
    assert all(0 <= chance_of(number) < 1 for number in range(100))
