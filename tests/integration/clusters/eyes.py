"""`open_eyes`: the ordinary eyes on a real cluster, and what they have seen so far."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from kafka_self_healing.app import checks
from kafka_self_healing.clock import SystemClock
from kafka_self_healing.model.evidence import CheckResult, Fact, Kind, Outcome
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring import MonitoringService

SEEN_LIMIT_S = 120.0
"""No measure of ours: how long a machine may be busy with other things."""

LATE = frozenset({Outcome.TIMED_OUT, Outcome.NOT_ASKED})
"""How looks may end at any time on a busy machine, whatever is tested."""


class Seen:
    """All results, and the newest of each (observer, subject, kind)."""

    def __init__(self) -> None:
        self.results: list[CheckResult] = []
        self.changed = asyncio.Event()

    def hear(self, result: CheckResult) -> None:
        """Take a result."""
        self.results.append(result)
        self.changed.set()

    def last(self, kind: Kind, about: str) -> CheckResult | None:
        """Return the newest result of `kind` about or from a node."""
        for result in reversed(self.results):
            if result.kind is kind and about in (result.subject, result.observer):
                return result
        return None

    def fact(self, kind: Kind, about: str) -> Fact | None:
        """Return the newest fact of `kind` about or from a node."""
        for result in reversed(self.results):
            known = result.kind is kind and result.fact is not None
            if known and about in (result.subject, result.observer):
                return result.fact
        return None

    def outcome(self, kind: Kind, about: str) -> Outcome | None:
        """Return the newest outcome of `kind` about or from a node."""
        last = self.last(kind, about)
        return None if last is None else last.outcome

    def ended(self, kind: Kind, about: str) -> set[Outcome]:
        """Return how the looks of `kind` about or from a node ended, but for those of `LATE`."""
        about_it = [one for one in self.results if about in (one.subject, one.observer)]
        return {one.outcome for one in about_it if one.kind is kind} - LATE

    async def until(
        self, is_so: Callable[[], bool], what: str, *, limit_s: float = SEEN_LIMIT_S
    ) -> None:
        """Wait until `is_so`, asked after each result; `what` names it, if it does not come."""

        def claims() -> None:
            if not is_so():
                raise AssertionError(what)

        await self.until_holds(claims, limit_s=limit_s)

    async def until_holds(
        self, claims: Callable[[], None], *, limit_s: float = SEEN_LIMIT_S
    ) -> None:
        """Wait until all `claims` hold, asserted after each result; else the last one is told."""
        missing: AssertionError | None = None
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    self.changed.clear()
                    try:
                        return claims()
                    except AssertionError as failure:
                        missing = failure
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"not seen within {limit_s:g} s: {missing}\nthe newest are:\n{self._newest()}"
            ) from missing

    async def until_answered(
        self, kinds: Collection[Kind], about: Collection[str], *, limit_s: float = SEEN_LIMIT_S
    ) -> None:
        """Wait until all `kinds` of all these nodes were answered; PEERS by any of them."""

        def claims() -> None:
            missing = {
                kind: [one for one in about if self.outcome(kind, one) is not Outcome.ANSWERED]
                for kind in kinds
            }
            if len(missing.get(Kind.PEERS, ())) < len(about):
                missing.pop(Kind.PEERS, None)
            without = [f"{kind} of {', '.join(nodes)}" for kind, nodes in missing.items() if nodes]
            assert not without, f"no answer for {'; '.join(without)}"

        await self.until_holds(claims, limit_s=limit_s)

    def _newest(self) -> str:
        newest = {(one.observer, one.subject, one.kind): one for one in self.results}
        return "\n".join(
            f"{kind} of {subject} by {observer}: {one.outcome} {one.error} {one.fact}"[:600]
            for (observer, subject, kind), one in newest.items()
        )


@asynccontextmanager
async def open_eyes(inventory: Cluster) -> AsyncIterator[Seen]:
    """Run the ordinary eyes on the cluster, with all built-in checks."""
    seen = Seen()
    service = MonitoringService(inventory, Policy(), checks(), SystemClock(), seen.hear)
    running = asyncio.create_task(service.run())
    try:
        yield seen
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled(), running.exception()
