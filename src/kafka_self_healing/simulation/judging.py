"""Judges a replay by the `expect` of its header: what was named, what was done, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kafka_self_healing.simulation.replay_format import Expect, ExpectedAct


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that was expected, and the second at which it came; `at` None: it did not."""

    what: str
    at: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a replay was: conditions and acts that were expected, and acts that were wrong.

    `allowed`: acts that were right, but not required. `refused`: acts that the mind itself did not
    permit, with the guards that refused first.
    """

    conditions: tuple[Seen, ...]
    required: tuple[Seen, ...]
    allowed: tuple[Seen, ...]
    wrong: tuple[Seen, ...]
    refused: tuple[Seen, ...]

    @property
    def right(self) -> bool:
        """Whether everything expected came, and nothing else was done."""
        missing = any(seen.at is None for seen in (*self.conditions, *self.required))
        return not missing and not self.wrong


class Judge:
    """Hears what a replay says, one object after the other, and keeps only what is judged."""

    def __init__(self, expect: Expect) -> None:
        self._expect = expect
        self._named: dict[str, float] = {}
        self._acts: list[tuple[float, str, str]] = []
        self._refused: dict[str, float] = {}

    def hear(self, said: dict[str, Any]) -> None:
        """Take one object of the output."""
        at, until = said["at"], self._expect.until
        if until is not None and at > until:
            return
        if "diagnosis" in said and said["diagnosis"]["state"] != "cleared":
            self._named.setdefault(said["diagnosis"]["condition"], at)
        if "decision" in said:
            one = said["decision"]
            act = f"{one['action']} on {one['node']}"
            if one["verdict"] == "act":
                self._acts.append((at, one["action"], str(one["node"])))
            else:
                guards = [r["guard"] for r in one["reasons"] if r["blocking"]]
                self._refused.setdefault(f"{act} ({', '.join(guards)})", at)

    def verdict(self) -> Verdict:
        """Return the judgement. Raises nothing: what never came has no second."""
        left = list(self._acts)
        required = [_first(_take(left, act), act) for act in self._expect.required]
        allowed = [seen for act in self._expect.allowed for seen in _take(left, act)]
        return Verdict(
            tuple(self._condition([c.value for c in names]) for names in self._expect.conditions),
            tuple(required),
            tuple(allowed),
            tuple(Seen(f"{action} on {node}", at) for at, action, node in left),
            tuple(Seen(what, at) for what, at in self._refused.items()),
        )

    def _condition(self, names: Sequence[str]) -> Seen:
        found = [(self._named[name], name) for name in names if name in self._named]
        if not found:
            return Seen(" or ".join(names), None)
        at, name = min(found)
        return Seen(name, at)


def _take(left: list[tuple[float, str, str]], expected: ExpectedAct) -> list[Seen]:
    """Take the first such act on each of its nodes out of what is left."""
    taken = []
    for node in dict.fromkeys(expected.nodes):
        hit = next((one for one in left if one[1:] == (expected.action, node)), None)
        if hit is not None:
            left.remove(hit)
            taken.append(Seen(f"{expected.action} on {node}", hit[0]))
    return taken


def _first(taken: Sequence[Seen], expected: ExpectedAct) -> Seen:
    if not taken:
        return Seen(f"{expected.action} on {' or '.join(expected.nodes)}", None)
    return min(taken, key=lambda seen: seen.at or 0.0)
