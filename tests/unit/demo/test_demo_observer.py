"""What the demo's observer makes of the nodes' pictures: back, dropped, answering again."""

from __future__ import annotations

from kafka_self_healing.demo.observer import (
    Sighting,
    answered_at,
    back_since,
    dropped_at,
    sighting_of,
)
from kafka_self_healing.demo.witness import Partition, Picture

ALL = frozenset({1, 2, 3})
LEFT = frozenset({1, 3})


def sees(at: float, node: int, who: frozenset[int] = ALL) -> Sighting:
    """A node that lists these and shows them in sync."""
    return Sighting(at, node, True, who, who)


BEFORE = [sees(0.0, 1), sees(0.0, 2), sees(0.0, 3)]
SILENT = Sighting(10.1, 2, answers=False)


def test_the_picture_of_before_is_no_return() -> None:
    """Right after a kill all others still show the dead node in sync: it is not back."""
    assert back_since([*BEFORE], {2: 10.0}, ALL) is None
    assert back_since([*BEFORE, SILENT], {2: 10.0}, ALL) is None


def test_back_when_it_answers_and_all_others_show_it() -> None:
    """The latest of: its own answer, and each other node's picture."""
    dropped = [sees(13.0, 1, LEFT), sees(13.1, 3, LEFT)]
    back = [*BEFORE, SILENT, *dropped, sees(15.0, 2), sees(15.3, 1), sees(15.6, 3)]

    assert back_since(back[:-1], {2: 10.0}, ALL) is None
    assert back_since(back, {2: 10.0}, ALL) == 15.6


def test_a_second_dip_counts_anew() -> None:
    """A node that falls out once more is back since its last return only."""
    dip = [sees(18.0, 1, LEFT), sees(19.5, 1)]

    assert back_since([*BEFORE, SILENT, sees(15.0, 2), *dip], {2: 10.0}, ALL) == 19.5


def test_never_struck_is_always_well() -> None:
    """Without a blow it is enough that all answer."""
    assert back_since(BEFORE, {}, ALL) == 0.0
    assert back_since([*BEFORE, SILENT], {}, ALL) is None


def test_dropped_by_each_of_the_others() -> None:
    """The first answer without the victim after the blow counts, its own answers never do."""
    sightings = [*BEFORE, sees(12.0, 2, LEFT), sees(13.0, 1, LEFT), sees(14.0, 1, LEFT)]

    assert dropped_at(sightings, 2, after=10.0) == {1: 13.0}


def test_answers_again_only_after_silence() -> None:
    """An answer after the blow without a silence between is the old process."""
    assert answered_at([*BEFORE, sees(10.05, 2, LEFT)], 2, after=10.0) is None
    assert answered_at([*BEFORE, SILENT, sees(14.0, 2)], 2, after=10.0) == 14.0


def test_in_sync_means_in_every_partition() -> None:
    """One partition that lacks a listed node is enough to call it out of sync."""
    picture = Picture(
        ALL,
        1,
        (
            Partition("a", 0, 1, ALL, ALL),
            Partition("a", 1, 1, ALL, LEFT),
        ),
    )

    seen = sighting_of(5.0, 1, picture, ALL)

    assert seen.listed == ALL
    assert seen.in_sync == LEFT
