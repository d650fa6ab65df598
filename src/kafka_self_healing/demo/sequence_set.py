"""A set of whole numbers that come nearly in order, kept as ranges: small however many they are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator


class SequenceSet:
    """Numbers from 0 on, as sorted ranges that neither overlap nor touch. Not thread-safe."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, number: int) -> bool:
        """Add a number; return False if it was there already."""
        at = bisect_right(self._starts, number)
        if at and number < self._ends[at - 1]:
            return False
        joins_left = at > 0 and self._ends[at - 1] == number
        joins_right = at < len(self._starts) and self._starts[at] == number + 1
        if joins_left and joins_right:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif joins_left:
            self._ends[at - 1] = number + 1
        elif joins_right:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number + 1)
        return True

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number)
        return at > 0 and number < self._ends[at - 1]

    def __len__(self) -> int:
        return sum(end - start for start, end in self.ranges())

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield (first, one past the last) of each range, in order."""
        yield from zip(self._starts, self._ends, strict=True)

    def missing_from(self, other: SequenceSet) -> list[tuple[int, int]]:
        """Return the ranges of our numbers that `other` lacks."""
        missing: list[tuple[int, int]] = []
        theirs = list(other.ranges())
        at = 0
        for start, end in self.ranges():
            while at < len(theirs) and theirs[at][1] <= start:
                at += 1
            here, looked = start, at
            while here < end:
                if looked == len(theirs) or theirs[looked][0] >= end:
                    missing.append((here, end))
                    break
                if theirs[looked][0] > here:
                    missing.append((here, theirs[looked][0]))
                here = theirs[looked][1]
                looked += 1
        return missing
