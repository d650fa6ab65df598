"""The eyes' rhythm, hints and looks, with a fake plugin in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from tests.unit.monitoring.fake_eyes import FakePlugin, hang, make_cluster, open_eyes
from tests.unit.monitoring.virtual_time import LoopClock, run_virtual

from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import HostPool
from kafka_self_healing.model.evidence import HEALER, CheckResult, Kind, Outcome
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring import MonitoringService
from kafka_self_healing.plugins import CheckContext

OWN = frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE})
NOW = 1000.0


async def refused() -> Outcome:
    """Answer that nobody listens."""
    return Outcome.REFUSED


def test_hung_target_delays_no_other() -> None:
    """While one node hangs for ever, the others are asked as often as if it were well."""

    async def main() -> None:
        plugin = FakePlugin(answers={("1", Kind.PROTOCOL): hang})
        async with open_eyes(plugin, make_cluster(2, roles=frozenset())) as eyes:
            await asyncio.sleep(60)
        gaps = [b - a for a, b in pairwise(plugin.times("2")[1:])]
        assert len(gaps) >= 10
        assert max(gaps) <= 5.5
        assert {result.outcome for result in eyes.of("1")} == {Outcome.TIMED_OUT}

    run_virtual(main())


def test_intervals_are_jittered_and_the_same_for_the_same_seed() -> None:
    """Looks are 5 s ± 5 % apart, differ between nodes, and depend on nothing but the seed."""

    async def times(seed: int) -> dict[str, list[float]]:
        plugin = FakePlugin()
        async with open_eyes(plugin, policy=Policy(seed=seed)):
            await asyncio.sleep(300)
        return {node: plugin.times(node) for node in ("1", "2")}

    first, again, other = (run_virtual(times(seed)) for seed in (7, 7, 8))
    gaps = [b - a for a, b in pairwise(first["1"][1:])]
    assert first == again
    assert first != other
    assert first["1"] != first["2"]
    assert all(4.7 <= gap <= 5.35 for gap in gaps)
    assert max(gaps) - min(gaps) > 0.3


def test_first_failure_makes_all_kinds_of_node_and_group_looked_at_at_once() -> None:
    """A first bad look is a hint: within the same moment every kind of the whole group is asked."""

    async def main() -> None:
        plugin = FakePlugin(OWN | {Kind.PEERS, Kind.QUORUM})
        async with open_eyes(plugin) as eyes:
            await asyncio.sleep(30.01)
            plugin.answers["2", Kind.LISTENER] = refused
            await asyncio.sleep(6)
            seen = next(r.ended for r in eyes.results if r.outcome is Outcome.REFUSED)
        at_once = {(node, kind) for at, node, kind, _ in plugin.asked if seen <= at <= seen + 0.02}
        assert at_once >= {(node, kind) for node in "123" for kind in OWN | {Kind.QUORUM}}
        assert Kind.PEERS in {kind for _, kind in at_once}

    run_virtual(main())


def test_hint_of_a_plugin_makes_an_immediate_look() -> None:
    """A closed warm connection (context.hint) has the node looked at in the same moment."""

    async def main() -> None:
        plugin = FakePlugin(OWN)
        async with open_eyes(plugin):
            await asyncio.sleep(12.3)
            at = asyncio.get_running_loop().time()
            plugin.contexts["1", Kind.PROTOCOL].hint("closed")
            await asyncio.sleep(0.001)
        assert all(plugin.times("1", kind, since=at) for kind in OWN)

    run_virtual(main())


def test_many_hints_at_once_look_at_the_group_once_a_second() -> None:
    """A storm of hints costs one look at the group a second, not one a hint."""

    async def main() -> None:
        plugin = FakePlugin()
        cluster = make_cluster(20, roles=frozenset({Role.BROKER}))
        async with open_eyes(plugin, cluster):
            await asyncio.sleep(20)
            before = len(plugin.asked)
            for node in cluster.nodes:
                plugin.contexts[node, Kind.PROTOCOL].hint("closed")
                await asyncio.sleep(0.001)
            assert len(plugin.asked) - before <= 2 * len(cluster.nodes)

    run_virtual(main())


def test_suspected_node_is_looked_at_every_second_with_a_short_limit() -> None:
    """SERVICE and the witnesses of a troubled node follow each second, with a limit of a second."""

    async def main() -> None:
        plugin = FakePlugin(
            OWN | {Kind.PEERS, Kind.QUORUM}, answers={("1", Kind.LISTENER): refused}
        )
        async with open_eyes(plugin):
            await asyncio.sleep(40)
        for kind in (Kind.SERVICE, Kind.QUORUM, Kind.LISTENER):
            gaps = [b - a for a, b in pairwise(plugin.times("1", kind, since=NOW + 20))]
            assert all(0.9 <= gap <= 1.1 for gap in gaps), kind
        limits = {limit for at, node, _, limit in plugin.asked if node == "1" and at > NOW + 20}
        assert limits == {1.0}
        peers = [at for at, _, kind, _ in plugin.asked if kind is Kind.PEERS and at > NOW + 20]
        assert len(peers) >= 36

    run_virtual(main())


def test_silent_node_is_knocked_at_every_fifteen_seconds_only() -> None:
    """After three silent looks its own probes slow down; SERVICE and the others do not."""

    async def main() -> None:
        plugin = FakePlugin(
            OWN | {Kind.PEERS},
            answers={("1", Kind.PROTOCOL): hang, ("1", Kind.JVM): hang},
        )
        async with open_eyes(plugin):
            await asyncio.sleep(100)
        for kind in (Kind.LISTENER, Kind.PROTOCOL, Kind.JVM):
            gaps = [b - a for a, b in pairwise(plugin.times("1", kind, since=NOW + 20))]
            assert gaps
            assert all(13.5 <= gap <= 16.5 for gap in gaps), kind
        assert len(plugin.times("1", Kind.SERVICE, since=NOW + 20)) >= 70
        assert len(plugin.times("2", Kind.PEERS) + plugin.times("3", Kind.PEERS)) >= 140

    run_virtual(main())


def test_look_asks_only_what_is_named() -> None:
    """A look at one kind of one node asks nothing else; QUORUM is asked of all controllers."""

    async def main() -> None:
        plugin = FakePlugin(OWN | {Kind.QUORUM})
        async with open_eyes(plugin) as eyes:
            await asyncio.sleep(8.1)
            at = asyncio.get_running_loop().time()
            before = len(plugin.asked)
            eyes.service.look(["2"], [Kind.JVM, Kind.QUORUM])
            await asyncio.sleep(0.001)
            asked = {(node, kind) for _, node, kind, _ in plugin.asked[before:]}
            assert at > NOW
        assert asked == {("2", Kind.JVM)} | {(node, Kind.QUORUM) for node in "123"}

    run_virtual(main())


def test_cancellation_leaves_no_task_and_closes_plugins() -> None:
    """Cancelled in the middle of a hung look, run() ends, closes plugins and leaves no task."""

    async def main() -> int:
        plugin = FakePlugin(OWN, answers={("1", Kind.PROTOCOL): hang})
        async with open_eyes(plugin):
            await asyncio.sleep(1.0)
        return plugin.closed

    assert run_virtual(main()) == 1


@pytest.mark.parametrize("given", [True, False])
def test_hosts_are_closed_by_whoever_made_them(given: bool) -> None:
    """A pool that was handed in serves others too; one that the eyes made ends with them."""

    class Counting(HostPool):
        closed = 0

        async def close(self) -> None:
            """Count."""
            self.closed += 1

    async def main() -> int:
        cluster, clock = make_cluster(1), LoopClock()
        pool = Counting(cluster, clock)
        hosts = pool if given else None
        service = MonitoringService(cluster, Policy(), [], clock, print, hosts=hosts)
        if not given:
            service._hosts = pool
        running = asyncio.create_task(service.run())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return pool.closed

    assert run_virtual(main()) == (not given)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("broken"), Outcome.PROTOCOL),
        (CheckError("tls", "no"), Outcome.TLS),
        (CheckError("nonsense", "no"), Outcome.PROTOCOL),
        (asyncio.CancelledError(), Outcome.PROTOCOL),
    ],
)
def test_exception_of_a_plugin_becomes_a_result(error: BaseException, outcome: Outcome) -> None:
    """Whatever a plugin raises is a result with words, and the next look follows as ever."""

    async def main() -> None:
        async def fail() -> Outcome:
            raise error

        plugin = FakePlugin(answers={("1", Kind.PROTOCOL): fail})
        async with open_eyes(plugin) as eyes:
            await asyncio.sleep(10)
        heard = eyes.of("1")
        assert len(heard) >= 5
        assert {result.outcome for result in heard} == {outcome}
        assert all(result.error for result in heard)

    run_virtual(main())


@pytest.mark.parametrize(("since_s", "until_s"), [(-900.0, -899.0), (0.0, 1e6), (1e6, 1e6)])
def test_a_result_of_another_time_is_no_evidence(since_s: float, until_s: float) -> None:
    """An answer older than its look, or of the future, breaks the contract: no fact is let through.

    One of the future would make every later look seem older than it.
    """

    class Untimely(FakePlugin):
        async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
            now = context.clock.now().mono_s
            began, ended = now + since_s, now + until_s
            return [CheckResult(HEALER, target.id, Kind.PROTOCOL, Outcome.ANSWERED, began, ended)]

    async def main() -> None:
        async with open_eyes(Untimely()) as eyes:
            await asyncio.sleep(1)
        assert {result.outcome for result in eyes.results} == {Outcome.PROTOCOL}
        assert all("asked at" in result.error for result in eyes.results)

    run_virtual(main())


def test_witness_that_fails_for_ever_is_no_busy_loop() -> None:
    """A witness that may not answer PEERS is doubted once, then asked in the usual rhythm."""

    async def main() -> None:
        async def forbidden() -> Outcome:
            return Outcome.AUTHORISATION

        plugin = FakePlugin(
            frozenset({Kind.PEERS, Kind.PROTOCOL}),
            answers={(node, Kind.PEERS): forbidden for node in "123"},
        )
        async with open_eyes(plugin):
            await asyncio.sleep(50)
        assert len([1 for *_, kind, _ in plugin.asked if kind is Kind.PEERS]) <= 40

    run_virtual(main())


def test_peers_are_asked_of_two_living_nodes_in_turn() -> None:
    """All living brokers serve as witnesses, two a round; a dead one is asked no more."""

    async def main() -> None:
        plugin = FakePlugin(
            frozenset({Kind.PEERS, Kind.PROTOCOL}), answers={("4", Kind.PROTOCOL): refused}
        )
        async with open_eyes(plugin, make_cluster(4)):
            await asyncio.sleep(40)
        late = [node for at, node, kind, _ in plugin.asked if kind is Kind.PEERS and at > NOW + 1]
        assert set(late) == {"1", "2", "3"}

    run_virtual(main())


def test_no_living_witness_is_said() -> None:
    """With no node left to ask, PEERS is a result `not_asked` about the cluster, not silence."""

    async def main() -> None:
        dead = {(node, Kind.PROTOCOL): refused for node in "123"}
        plugin = FakePlugin(frozenset({Kind.PEERS, Kind.PROTOCOL}), answers=dict(dead))
        async with open_eyes(plugin) as eyes:
            await asyncio.sleep(10)
        last = [result for result in eyes.results if result.kind is Kind.PEERS][-1]
        assert (last.outcome, last.subject) == (Outcome.NOT_ASKED, "test")

    run_virtual(main())


def test_error_in_a_callback_is_a_bug_and_ends_run() -> None:
    """What a callback raises is not swallowed: run() ends with it, and closes its plugins."""

    def broken(_: CheckResult) -> None:
        raise AssertionError("a bug")

    async def main() -> int:
        plugin = FakePlugin()
        service = MonitoringService(make_cluster(), Policy(), [plugin], LoopClock(), broken)
        with pytest.raises(ExceptionGroup):
            await service.run()
        return plugin.closed

    assert run_virtual(main()) == 1
