"""The set of sequence numbers, against Python's own set."""

from __future__ import annotations

import itertools

from hypothesis import given, strategies as st

from kafka_self_healing.demo.sequence_set import SequenceSet

numbers = st.lists(st.integers(min_value=0, max_value=40), max_size=60)


def filled(content: list[int]) -> SequenceSet:
    """A set with these numbers."""
    result = SequenceSet()
    for number in content:
        result.add(number)
    return result


@given(numbers)
def test_holds_what_a_set_holds(content: list[int]) -> None:
    """Length, membership and the answer of `add` are those of a set; ranges never touch."""
    ours, reference = SequenceSet(), set[int]()
    for number in content:
        assert ours.add(number) == (number not in reference)
        reference.add(number)

    assert len(ours) == len(reference)
    assert reference == {number for number in range(42) if number in ours}
    ranges = list(ours.ranges())
    assert all(left[1] < right[0] for left, right in itertools.pairwise(ranges))


@given(numbers, numbers)
def test_missing_is_the_difference(mine: list[int], theirs: list[int]) -> None:
    """`missing_from` names exactly the numbers that the other set lacks."""
    missing = filled(mine).missing_from(filled(theirs))

    told = [number for start, end in missing for number in range(start, end)]
    assert told == sorted(set(mine) - set(theirs))


def test_numbers_in_order_take_one_range() -> None:
    """A million numbers in order cost the memory of one range."""
    ours = filled(list(range(100_000)))

    assert list(ours.ranges()) == [(0, 100_000)]
