"""What the members' own words come to: who leads, who is counted in, and by whom."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.unit.healing.scenes import zookeeper

from kafka_self_healing.healing.ensemble import (
    Ensemble,
    ensemble_of,
    member_counted,
    own_word,
    quorum_state,
)
from kafka_self_healing.healing.standing import Quorum
from kafka_self_healing.healing.view import View, hear
from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    Kind,
    Outcome,
    ProtocolFact,
    QuorumFact,
)
from kafka_self_healing.model.health import Track
from kafka_self_healing.model.policy import Policy

LEADS = "leader"
F = ("follower", None)
"""What a follower says: it counts nobody."""


Said = Mapping[str, tuple[str | None, int | None]]


def words(said: Said, at: float = 100.0, size: int = 3) -> View:
    """A view that has heard these members: m201=(mode, synced)."""
    looks = []
    for name, (mode, synced) in said.items():
        id_ = name[1:]
        fact = QuorumFact(id_ if mode == LEADS else None, mode=mode, synced=synced)
        looks.append(CheckResult(id_, "test", Kind.QUORUM, Outcome.ANSWERED, at - 0.1, at, fact))
    return hear(View.cold(zookeeper(members=size)), looks, Policy())


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        # all well
        ({"m201": (LEADS, 2), "m202": F, "m203": F}, (True, True, True)),
        # 203 says nothing, but the leader counts everybody
        ({"m201": (LEADS, 2), "m202": F}, (True, True, True)),
        # the leader counts one, 202 follows: it is not 203
        ({"m201": (LEADS, 1), "m202": F}, (True, True, False)),
        # the leader counts one, nobody says that it follows: it may be either
        ({"m201": (LEADS, 1)}, (None, None, None)),
        # two say that they follow, the leader counts one: either may be mistaken
        ({"m201": (LEADS, 1), "m202": F, "m203": F}, (True, None, None)),
        # how many it counts cannot be read
        ({"m201": (LEADS, None), "m202": F}, (True, None, None)),
        # a leader without a majority counts nobody out
        ({"m201": (LEADS, 0)}, (None, None, None)),
        # nobody leads
        ({"m202": F, "m203": F}, (None, None, None)),
    ],
)  # fmt: skip
def test_who_is_counted_in_is_found_by_elimination(
    said: Said, counted: tuple[bool | None, ...]
) -> None:
    """Never by a member's own word alone, and never guessed where two could be meant."""
    ensemble, _ = ensemble_of(words(said), 90.0)
    assert tuple(member_counted(id_, ensemble) for id_ in ("201", "202", "203")) == counted


def test_in_five_one_of_two_silent_ones_is_not_guessed() -> None:
    """The leader counts three, two follow: one of the two silent ones is synced, nobody knows."""
    said = {"m201": (LEADS, 3), "m202": F, "m203": F}
    ensemble, _ = ensemble_of(words(said, size=5), 90.0)
    assert [member_counted(id_, ensemble) for id_ in ("204", "205")] == [None, None]
    fewer, _ = ensemble_of(words({**said, "m201": (LEADS, 2)}, size=5), 90.0)
    assert [member_counted(id_, fewer) for id_ in ("204", "205")] == [False, False]


def test_an_old_word_is_no_word() -> None:
    """What was said before the horizon is not heard."""
    said = {"m201": (LEADS, 2), "m202": F}
    ensemble, look = ensemble_of(words(said), 100.5)
    assert (ensemble.leader, ensemble.followers, look) == (None, frozenset(), None)


def test_a_follower_of_an_earlier_round_accuses_nobody() -> None:
    """It may have died since: only words of the leader's own round are set off against it."""
    view = words({"m202": F}, at=95.0)
    fact = QuorumFact("201", mode=LEADS, synced=1)
    look = CheckResult("201", "test", Kind.QUORUM, Outcome.ANSWERED, 99.9, 100.0, fact)
    ensemble, _ = ensemble_of(hear(view, [look], Policy()), 90.0)
    assert ensemble.followers == frozenset()
    assert member_counted("203", ensemble) is None


def test_another_epoch_of_the_same_leader_is_another_reign() -> None:
    """Elected anew it gives every session its whole length again."""
    for epoch in (4, 5):
        fact = QuorumFact("201", epoch, mode=LEADS, synced=2)
        look = CheckResult("201", "test", Kind.QUORUM, Outcome.ANSWERED, 99.9, 100.0, fact)
        ensemble, _ = ensemble_of(hear(View.cold(zookeeper()), [look], Policy()), 90.0)
        assert (ensemble.leader, ensemble.epoch) == ("201", epoch)


def test_of_two_leaders_the_later_word_counts() -> None:
    """A hung leader's last word is a memory."""
    view = words({"m201": (LEADS, 2)}, at=95.0)
    fact = QuorumFact("202", mode=LEADS, synced=1)
    look = CheckResult("202", "test", Kind.QUORUM, Outcome.ANSWERED, 99.9, 100.0, fact)
    ensemble, led = ensemble_of(hear(view, [look], Policy()), 90.0)
    assert ensemble.leader == "202"
    assert led is look


@pytest.mark.parametrize(
    ("ensemble", "led"),
    [
        (Ensemble(3, "1", 1), True),
        (Ensemble(3, "1", None, frozenset({"2"})), True),
        (Ensemble(3, "1", 0), False),
        (Ensemble(3, "1", None), False),
        (Ensemble(3, None, None, frozenset({"2", "3"})), True),
        (Ensemble(3, None, None, frozenset({"2"})), False),
        (Ensemble(1, "1"), True),
        (Ensemble(0), False),
    ],
)
def test_an_ensemble_serves_with_a_majority(ensemble: Ensemble, led: bool) -> None:
    """By the leader's account, by the followers' words, or as a single member."""
    assert ensemble.led is led
    assert (quorum_state(ensemble, 0, 0) is Quorum.LED) is led


def test_lost_needs_proof() -> None:
    """Too few that serve, and at least one surely down; otherwise it is not known."""
    nobody = Ensemble(3)
    assert quorum_state(nobody, 2, 1) is Quorum.LOST
    assert quorum_state(nobody, 2, 0) is Quorum.UNKNOWN
    assert quorum_state(nobody, 1, 1) is Quorum.UNKNOWN
    assert quorum_state(Ensemble(0), 2, 2) is Quorum.UNKNOWN


@pytest.mark.parametrize(
    ("fact", "word"),
    [
        (ProtocolFact(ruok=True, mode="follower", serving=True), (True, True)),
        (ProtocolFact(mode="leader"), (True, True)),
        (ProtocolFact(serving=True), (True, True)),
        (ProtocolFact(ruok=True, serving=False), (True, False)),
        (ProtocolFact(mode="leader", serving=False), (True, False)),
        (ProtocolFact(ruok=True), (None, None)),
        (ProtocolFact(mode="gibberish"), (None, None)),
    ],
)
def test_a_members_own_word(fact: ProtocolFact, word: tuple[bool | None, bool | None]) -> None:
    """A mode, or what it says of serving; imok is neither."""
    look = CheckResult(HEALER, "201", Kind.PROTOCOL, Outcome.ANSWERED, 0.0, 1.0, fact)
    assert own_word(Track.first(look)) == word


def test_no_answer_is_no_word() -> None:
    """Refused or timed out: the looks are judged as those of any node."""
    look = CheckResult(HEALER, "201", Kind.PROTOCOL, Outcome.REFUSED, 0.0, 1.0)
    assert own_word(Track.first(look)) is None
    assert own_word(None) is None
