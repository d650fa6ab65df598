"""The judge: did the right thing happen? Pure, and it must be able to say no.

What was done is taken from the supervisor's list and from the observer's sightings alone. What the
healer *said* is `Claims`: it can only add to what is wrong, never excuse it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from kafka_self_healing.demo.acts import REQUESTS, Act
from kafka_self_healing.demo.faults import Right
from kafka_self_healing.demo.load import Comparison
from kafka_self_healing.demo.observer import Sighting, back_since, dropped_at
from kafka_self_healing.model.incident import Condition

HEALER = "healer"


@dataclass(frozen=True, slots=True)
class Claims:
    """What the healer said: conditions by subject, how incidents ended, what it would have done.

    `recovery`: progress of a slow start in its own words. `open_incidents`: at the end.
    """

    conditions: frozenset[tuple[str, str]] = frozenset()
    closed: tuple[tuple[str, str], ...] = ()
    would_act: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    recovery: tuple[str, ...] = ()
    open_incidents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the observer saw between the blow and the end (boot-clock seconds).

    `struck`: when each victim was struck. `acts`: the supervisor's lines from the first blow to
    `ended`. `paused_until`: no act may be earlier. `observing`: the healer may only look.
    """

    nodes: tuple[int, ...]
    struck: tuple[tuple[int, float], ...]
    acts: tuple[Act, ...]
    sightings: tuple[Sighting, ...]
    ended: float
    comparison: Comparison | None
    paused_until: float | None = None
    observing: bool = False
    ours: frozenset[str] = field(default_factory=lambda: frozenset({HEALER}))

    @property
    def victims(self) -> tuple[int, ...]:
        """The nodes that were struck, in that order."""
        return tuple(node for node, _ in self.struck)

    def requests(self) -> list[Act]:
        """Return the healer's requests to the supervisor, in order."""
        return [one for one in self.acts if one.what in REQUESTS and one.by in self.ours]

    def of_node(self, what: str, node: int) -> list[Act]:
        """Return the lines of one kind about one node."""
        return [one for one in self.acts if one.what == what and one.node == str(node)]


def judge(right: Right, seen: Seen, claims: Claims) -> list[str]:
    """Return everything that is wrong, a sentence each; nothing: the right thing happened."""
    wrong = [*_records(seen), *_bystanders(seen)]
    if seen.observing:
        return [*wrong, *_only_observed(right, seen, claims)]
    wrong += _acts(right, seen)
    if right.drop_first:
        wrong += _acted_on_counted_in(seen)
    wrong += _apart(right, seen)
    if right.after_return:
        wrong += _struck_too_early(seen)
    if right.heals:
        wrong += _healed(seen, claims)
    return wrong + _said(right, seen, claims)


def _records(seen: Seen) -> list[str]:
    compared = seen.comparison
    if compared is None:
        return ["the acknowledged records could not be read back"]
    if compared.acknowledged == 0:
        return ["no record was acknowledged: nothing is proven about them"]
    if compared.lost_records:
        return [f"{compared.lost_records} acknowledged records are lost: {compared.lost[:5]}"]
    return []


def _bystanders(seen: Seen) -> list[str]:
    wrong = []
    for node in seen.nodes:
        if node not in seen.victims:
            wrong += [f"node {node} was not struck and its process ended: {one.result}"
                      for one in seen.of_node("exited", node)]  # fmt: skip
    return wrong


def _only_observed(right: Right, seen: Seen, claims: Claims) -> list[str]:
    wrong = [f"it only observes, and asked for {_words(one)}" for one in seen.requests()]
    for number, node in enumerate(seen.victims):
        if seen.of_node("spawned", node):
            wrong.append(f"nobody may start node {node}, and a process was started")
        if number < len(right.acts) and right.acts[number] and str(node) not in claims.would_act:
            wrong.append(f"it did not say what it would do with node {node}")
    return wrong


def _acts(right: Right, seen: Seen) -> list[str]:
    wanted = dict(zip(seen.victims, right.acts, strict=False))
    wrong = []
    for node in seen.nodes:
        asked = tuple(one.what for one in seen.requests() if one.node == str(node))
        if asked != wanted.get(node, ()):
            wrong.append(
                f"node {node}: asked for {_list(asked)}; right is {_list(wanted.get(node, ()))}"
            )
        starts = sum(one.by in seen.ours for one in seen.of_node("spawned", node))
        if starts != wanted.get(node, ()).count("start"):
            wrong.append(f"node {node}: {starts} processes were started by the healer")
    for node, at in seen.struck:
        early = [one for one in seen.requests() if one.node == str(node) and one.boot < at]
        wrong += [f"{_words(one)} came before the blow" for one in early]
    if seen.paused_until is not None:
        early = [one for one in seen.requests() if one.boot < seen.paused_until]
        wrong += [f"{_words(one)} came while paused" for one in early]
    return wrong


def _acted_on_counted_in(seen: Seen) -> list[str]:
    wrong = []
    for node, struck in seen.struck:
        others = [other for other in seen.nodes if other not in seen.victims]
        dropped = dropped_at(seen.sightings, node, struck)
        for one in seen.requests():
            early = [
                other for other in others
                if one.node == str(node) and dropped.get(other, float("inf")) > one.boot
            ]  # fmt: skip
            if early:
                wrong.append(f"{_words(one)} came while nodes {early} still counted it in")
    return wrong


def _apart(right: Right, seen: Seen) -> list[str]:
    requests = seen.requests()
    wrong = []
    for first, second in pairwise(requests):
        gap = second.boot - first.boot
        if first.node != second.node and gap < right.apart_s:
            wrong.append(f"{_words(second)} came {gap:.1f} s after {_words(first)}: two at a time")
    return wrong


def _struck_too_early(seen: Seen) -> list[str]:
    """The demo's own part: the second blow fell when the first victim was in sync again."""
    if len(seen.struck) < 2:
        return ["the second blow never fell"]
    (first, at), (second, then) = seen.struck[:2]
    before = [one for one in seen.sightings if one.at <= then]
    if back_since(before, {first: at}, seen.nodes) is None:
        return [f"node {second} was struck before node {first} was in sync again"]
    return []


def _healed(seen: Seen, claims: Claims) -> list[str]:
    wrong = []
    if back_since(seen.sightings, dict(seen.struck), seen.nodes) is None:
        wrong.append("the other nodes do not show every victim in sync at the end")
    for node in seen.victims:
        ends = len(seen.of_node("exited", node))
        if ends != 1:
            wrong.append(f"node {node}: its process ended {ends} times, once was the fault")
        if (str(node), "healed") not in claims.closed:
            wrong.append(f"the healer does not say that it healed node {node}")
    return wrong


def _said(right: Right, seen: Seen, claims: Claims) -> list[str]:
    wrong = [f"still open at the end: {one}" for one in claims.open_incidents]
    named = {condition for _, condition in claims.conditions}
    if right.said is not None and right.said.value not in named:
        wrong.append(f"it never named {right.said.value}; it named {_list(sorted(named))}")
    if right.said is Condition.RECOVERING_LOGS:
        wrong += _progress(claims)
    if not seen.struck and named:
        wrong.append(f"nothing was wrong, and it named {_list(sorted(named))}")
    if seen.paused_until is not None:
        unexplained = [n for n in seen.victims[:1] if str(n) not in claims.refused]
        wrong += [f"it did not say that node {node} waits for a pause" for node in unexplained]
    return wrong


def _progress(claims: Claims) -> list[str]:
    if not claims.recovery:
        return ["it never showed the progress of the log recovery"]
    if not any("to go" in line for line in claims.recovery):
        return ["it never showed how long the log recovery still takes"]
    return []


def _words(act: Act) -> str:
    return f"{act.what} of node {act.node}"


def _list(words: Iterable[str] | Sequence[str]) -> str:
    return ", ".join(words) or "nothing"
