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

SEEN_LIMIT_S = 30.0


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

    async def until(self, is_so: Callable[[], bool], *, limit_s: float = SEEN_LIMIT_S) -> None:
        """Wait until `is_so`, asked after each result."""
        try:
            async with asyncio.timeout(limit_s):
                while not is_so():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            newest = {(one.observer, one.subject, one.kind): one for one in self.results}
            told = "\n".join(
                f"{kind} of {subject} by {observer}: {one.outcome} {one.error} {one.fact}"[:600]
                for (observer, subject, kind), one in newest.items()
            )
            missed = f"not seen within {limit_s:g} s; the newest are:\n{told}"
            raise AssertionError(missed) from None

    async def until_answered(
        self, kinds: Collection[Kind], about: Collection[str], *, limit_s: float = SEEN_LIMIT_S
    ) -> None:
        """Wait until all `kinds` of all these nodes were answered; PEERS by any of them."""

        def answered(kind: Kind) -> bool:
            told = [self.outcome(kind, node) is Outcome.ANSWERED for node in about]
            return any(told) if kind is Kind.PEERS else all(told)

        await self.until(lambda: all(answered(kind) for kind in kinds), limit_s=limit_s)


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
