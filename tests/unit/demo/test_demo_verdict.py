"""The demo's judge: it says right for what is right, and names each thing that is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kafka_self_healing.demo.acts import Act
from kafka_self_healing.demo.faults import FAULTS
from kafka_self_healing.demo.load import Comparison
from kafka_self_healing.demo.observer import Sighting
from kafka_self_healing.demo.verdict import Claims, Seen, judge

NODES = frozenset({1, 2, 3})
KEPT = Comparison(acknowledged=100, read_back=100, lost=(), duplicates=0)


def act(at: float, what: str, node: int, by: str = "healer", result: str = "") -> Act:
    """One line of the supervisor."""
    return Act(at, at, what, str(node), by, result)


def whole(at: float, node: int) -> Sighting:
    """A node that shows all three in sync."""
    return Sighting(at, node, True, NODES, NODES)


def without(at: float, node: int, gone: int) -> Sighting:
    """A node that has dropped another one."""
    return Sighting(at, node, True, NODES - {gone}, NODES - {gone})


def silent(at: float, node: int) -> Sighting:
    """A node that does not answer."""
    return Sighting(at, node, answers=False)


def crash_sightings(victim: int, blow: float, drop: float, back: float) -> list[Sighting]:
    """What is seen of one node that dies, is dropped, and comes back."""
    others = sorted(NODES - {victim})
    return [
        *(whole(0.0, node) for node in sorted(NODES)),
        silent(blow + 0.1, victim),
        *(without(drop, node, victim) for node in others),
        whole(back, victim),
        *(whole(back + 0.1, node) for node in others),
    ]


CRASH = Seen(
    nodes=(1, 2, 3),
    struck=((2, 10.0),),
    acts=(
        act(10.0, "fault", 2, "unknown", "SIGKILL"),
        act(10.1, "exited", 2, "unknown", "signal 9"),
        act(12.4, "start", 2),
        act(12.4, "spawned", 2),
    ),
    sightings=tuple(crash_sightings(2, 10.0, 13.5, 16.0)),
    ended=30.0,
    comparison=KEPT,
)
HEALED = Claims(frozenset({("2", "PROCESS_GONE")}), (("2", "healed"),))
RIGHT = FAULTS["crash"].right


def test_one_start_of_the_victim_is_right() -> None:
    """A crash that is answered with one start, and nothing else, has nothing wrong."""
    assert judge(RIGHT, CRASH, HEALED) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((act(13.0, "start", 2),), "node 2: asked for start, start"),
        ((act(13.0, "spawned", 2),), "node 2: 2 processes were started"),
        ((act(13.0, "stop", 3),), "node 3: asked for stop; right is nothing"),
        ((act(13.0, "kill", 2),), "node 2: asked for start, kill"),
        ((act(13.0, "exited", 1, "unknown", "exit 1"),), "node 1 was not struck and its process"),
        ((act(13.0, "exited", 2, "unknown", "exit 1"),), "node 2: its process ended 2 times"),
    ],
)
def test_every_other_act_is_wrong(more: tuple[Act, ...], words: str) -> None:
    """A second act, an act on a bystander, or a process that ended is named."""
    wrong = judge(RIGHT, replace(CRASH, acts=CRASH.acts + more), HEALED)

    assert any(line.startswith(words) for line in wrong), wrong


def test_a_start_by_somebody_else_is_not_ours() -> None:
    """Were the victim started by an operator, the healer would not have done its part."""
    acts = tuple(replace(one, by="operator") for one in CRASH.acts)

    assert "node 2: asked for nothing; right is start" in judge(
        RIGHT, replace(CRASH, acts=acts), HEALED
    )


def test_lost_records_are_wrong() -> None:
    """One acknowledged record that cannot be read back is enough."""
    lost = Comparison(acknowledged=100, read_back=99, lost=((7, 8),), duplicates=0)

    assert judge(RIGHT, replace(CRASH, comparison=lost), HEALED) == [
        "1 acknowledged records are lost: ((7, 8),)"
    ]


def test_records_that_cannot_be_compared_prove_nothing() -> None:
    """No comparison, or nothing to compare, is not taken for none lost."""
    empty = Comparison(acknowledged=0, read_back=0, lost=(), duplicates=0)

    assert judge(RIGHT, replace(CRASH, comparison=None), HEALED)
    assert judge(RIGHT, replace(CRASH, comparison=empty), HEALED)


def test_a_claim_to_have_healed_is_not_believed() -> None:
    """It says healed, but a node does not show the victim in sync at the end."""
    sightings = (*CRASH.sightings, without(29.0, 3, 2))

    assert judge(RIGHT, replace(CRASH, sightings=sightings), HEALED) == [
        "the other nodes do not show every victim in sync at the end"
    ]


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        (replace(HEALED, closed=(("2", "cleared"),)), "does not say that it healed node 2"),
        (replace(HEALED, conditions=frozenset({("2", "UNDIAGNOSED")})), "never named PROCESS_GONE"),
        (replace(HEALED, open_incidents=("incident-9",)), "still open at the end: incident-9"),
    ],
)
def test_what_it_must_have_said(claims: Claims, words: str) -> None:
    """A healing of which nothing was told, or that is not over, is wrong."""
    assert any(words in line for line in judge(RIGHT, CRASH, claims))


def hang(kill_at: float) -> Seen:
    """A hang that is ended at `kill_at`; the others drop the node at 13.5."""
    return replace(
        CRASH,
        acts=(
            act(kill_at, "kill", 2),
            act(kill_at + 0.1, "exited", 2, "healer", "signal 9"),
            act(kill_at + 0.2, "start", 2),
            act(kill_at + 0.2, "spawned", 2),
        ),
    )


def test_a_hung_node_is_killed_only_when_dropped() -> None:
    """The same two acts are right after the others have dropped the node, and wrong before."""
    right = FAULTS["hang"].right
    claims = Claims(frozenset({("2", "PROCESS_HUNG")}), (("2", "healed"),))

    assert judge(right, hang(14.0), claims) == []
    assert judge(right, hang(13.0), claims) == [
        "kill of node 2 came while nodes [1, 3] still counted it in",
        "start of node 2 came while nodes [1, 3] still counted it in",
    ]


def test_an_operators_stop_is_left_alone() -> None:
    """After a stop the right number of acts is zero, and the condition has to be named."""
    right = FAULTS["stop"].right
    acts = (
        act(10.0, "stop", 2, "operator"),
        act(11.0, "exited", 2, "operator", "exit 143"),
        act(25.0, "start", 2, "operator"),
        act(25.0, "spawned", 2, "operator"),
    )
    seen = replace(CRASH, acts=acts)
    said = Claims(frozenset({("2", "STOPPED_BY_OPERATOR")}), (("2", "cleared"),))

    assert judge(right, seen, said) == []
    assert judge(right, seen, replace(said, conditions=frozenset({("2", "STARTING")})))
    assert judge(right, replace(seen, acts=(*acts, act(12.0, "start", 2))), said)


def test_two_dead_nodes_are_started_one_by_one() -> None:
    """Both starts within a second are two at a time; the untouched survivor is no victim."""
    right = FAULTS["quorum-loss"].right
    seen = Seen(
        nodes=(1, 2, 3),
        struck=((2, 10.0), (3, 10.0)),
        acts=(
            *(act(10.1, "exited", node, "unknown", "signal 9") for node in (2, 3)),
            *(act(12.0, what, 2) for what in ("start", "spawned")),
            *(act(18.0, what, 3) for what in ("start", "spawned")),
        ),
        sightings=(
            *(whole(0.0, node) for node in (1, 2, 3)),
            silent(10.2, 2), silent(10.2, 3), whole(16.0, 2), whole(22.0, 3),
        ),
        ended=40.0,
        comparison=KEPT,
    )  # fmt: skip
    claims = Claims(
        frozenset({("demo/QUORUM_LOST", "QUORUM_LOST")}), (("2", "healed"), ("3", "healed"))
    )
    early = tuple(replace(a, boot=12.5) if a.boot == 18.0 else a for a in seen.acts)

    assert judge(right, seen, claims) == []
    assert judge(right, replace(seen, acts=early), claims) == [
        "start of node 3 came 0.5 s after start of node 2: two at a time"
    ]


def test_second_blow_must_not_fall_too_early() -> None:
    """In two-crashes the first victim must have been in sync again before the second blow."""
    right = FAULTS["two-crashes"].right
    wrong = judge(right, replace(CRASH, struck=((2, 10.0), (3, 10.5))), HEALED)

    assert "node 3 was struck before node 2 was in sync again" in wrong


def test_nothing_may_be_done_while_paused() -> None:
    """An act before the resume is wrong, and so is silence about why nothing is done."""
    paused = replace(CRASH, paused_until=12.0)
    said = replace(HEALED, refused=frozenset({"2"}))

    assert judge(RIGHT, paused, said) == []
    assert judge(RIGHT, replace(paused, paused_until=20.0), said) == [
        "start of node 2 came while paused"
    ]
    assert judge(RIGHT, paused, HEALED) == ["it did not say that node 2 waits for a pause"]


def test_an_observer_only_says_what_it_would_do() -> None:
    """In mode observe zero acts are right, and the act that would be done has to be named."""
    seen = replace(CRASH, acts=CRASH.acts[:2], observing=True)
    said = Claims(would_act=frozenset({"2"}), open_incidents=("incident-1",))

    assert judge(RIGHT, seen, said) == []
    assert judge(RIGHT, seen, replace(said, would_act=frozenset())) == [
        "it did not say what it would do with node 2"
    ]
    assert judge(RIGHT, replace(CRASH, observing=True), said) == [
        "it only observes, and asked for start of node 2",
        "nobody may start node 2, and a process was started",
    ]


def test_where_nothing_is_wrong_nothing_may_be_said() -> None:
    """Sixty quiet seconds are right only without any incident."""
    right = FAULTS["none"].right
    seen = replace(CRASH, struck=(), acts=())

    assert judge(right, seen, Claims()) == []
    assert judge(right, seen, HEALED) == ["nothing was wrong, and it named PROCESS_GONE"]


def test_a_slow_start_shows_its_progress() -> None:
    """The recovery's progress and the time that it still takes have to be shown."""
    right = FAULTS["slow-start"].right
    claims = replace(HEALED, conditions=frozenset({("2", "RECOVERING_LOGS")}))

    assert judge(right, CRASH, replace(claims, recovery=("9 logs, about 4 s to go",))) == []
    assert judge(right, CRASH, replace(claims, recovery=("9 logs",)))
    assert judge(right, CRASH, claims)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_victims_follow_from_the_seed(name: str) -> None:
    """The same seed strikes the same nodes, other seeds strike every node some time."""
    fault = FAULTS[name]
    chosen = [fault.choose([1, 2, 3], seed) for seed in range(30)]

    assert chosen == [fault.choose([3, 2, 1], seed) for seed in range(30)]
    assert all(len(set(one)) == fault.number_of_victims for one in chosen)
    if fault.strikes:
        assert {one[0] for one in chosen} == {1, 2, 3}
        assert len(fault.right.acts) == fault.number_of_victims
