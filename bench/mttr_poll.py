"""The eyes of `bench.mttr`: both other nodes' metadata every 100 ms, by a client of its own.

Nothing of the healer's is used: what is measured must not depend on what it believes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.witness import Picture

POLL_S: Final = 0.1
HELD_S: Final = 2.0
_ASK_TIMEOUT_S: Final = 1.0


@dataclass(slots=True)
class Course:
    """What the poll has seen since the blow at `victim`. All times are boot-clock seconds.

    `dropped_at`: the first node no longer listed the victim. `broken_at`: a partition was first
    seen out of sync, or the victim unlisted. Before that "all in sync" is a photograph of the time
    before the blow: a dead broker stays in its partitions' in-sync sets until its session is over.
    `whole_since`: both see all nodes and all partitions in sync, from then on without a break.
    """

    victim: int
    everyone: frozenset[int]
    struck_at: float
    dropped_at: float | None = None
    broken_at: float | None = None
    whole_since: float | None = None

    def see(self, at: float, pictures: Sequence[Picture | None]) -> None:
        """Fold in what the other nodes said by the second `at`; None: one did not answer."""
        heard = [picture for picture in pictures if picture is not None]
        if self.dropped_at is None and any(self.victim not in one.brokers for one in heard):
            self.dropped_at = at
        whole = len(heard) == len(pictures) and all(one.is_whole(self.everyone) for one in heard)
        if not whole:
            # Silence alone does not show that the cluster has taken note of the blow.
            if self.broken_at is None and any(not one.is_whole(self.everyone) for one in heard):
                self.broken_at = at
            self.whole_since = None
        elif self.broken_at is not None and self.whole_since is None:
            self.whole_since = at

    def is_over(self, at: float) -> bool:
        """Whether all has been in sync for long enough at the second `at`."""
        return self.whole_since is not None and at - self.whole_since >= HELD_S


def follow(
    cluster: EmbeddedCluster, course: Course, on_drop: Callable[[], None], *, limit_s: float
) -> bool:
    """Poll until all has been in sync for 2 s; False if that is not so `limit_s` after the blow.

    `on_drop` is called once, at the poll that first shows that the victim was dropped.
    """
    others = [node for node in cluster.nodes if node != course.victim]
    told = False
    for _ in _every(POLL_S, until=course.struck_at + limit_s):
        pictures = [_ask(cluster, node) for node in others]
        at = boot_seconds()
        course.see(at, pictures)
        if course.dropped_at is not None and not told:
            told = True
            on_drop()
        if course.is_over(at):
            return True
    return False


def _every(seconds: float, *, until: float) -> Iterator[None]:
    """Come back in this rhythm; a beat that is missed is left out, not made up for."""
    due = boot_seconds()
    while due < until:
        yield
        now = boot_seconds()
        due = max(due + seconds, now)
        pause(due - now)


def _ask(cluster: EmbeddedCluster, node: int) -> Picture | None:
    try:
        return cluster.ask(node, timeout_s=_ASK_TIMEOUT_S)
    except (OSError, DemoError):
        return None
