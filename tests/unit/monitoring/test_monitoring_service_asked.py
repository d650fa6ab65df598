"""Looks that somebody asks for: what runs already is superseded, and nobody is starved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.monitoring.fake_eyes import FakePlugin, hang, make_cluster, open_eyes
from tests.unit.monitoring.virtual_time import run_virtual

from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome
from kafka_self_healing.model.node import Role
from kafka_self_healing.monitoring.rhythm import LEAST_PAUSE_S

NOW = 1000.0
near = pytest.approx


def answering_after(seconds: float) -> Callable[[], Awaitable[Outcome]]:
    """Return an answer that takes its time."""

    async def answer() -> Outcome:
        await asyncio.sleep(seconds)
        return Outcome.ANSWERED

    return answer


async def refused() -> Outcome:
    """Answer that nobody listens."""
    return Outcome.REFUSED


def test_a_look_that_ends_at_once_is_waited_for() -> None:
    """Three wishes during a prompt look are one more look, right after it; nothing is cut off."""

    async def main() -> None:
        plugin = FakePlugin(answers={("1", Kind.PROTOCOL): answering_after(0.2)})
        async with open_eyes(plugin) as eyes:
            for _ in range(3):
                await asyncio.sleep(0.05)
                eyes.service.look(["1"], [Kind.PROTOCOL])
            await asyncio.sleep(0.5)
        assert plugin.times("1") == near([NOW, NOW + 0.2])
        assert len(eyes.of("1")) == 2
        assert plugin.cancelled == 0

    run_virtual(main())


def test_a_look_that_began_before_is_not_waited_for() -> None:
    """A hung look that began by itself is cut off when a fresh one is asked for; it says nothing.

    The fresh one begins at once, and has its whole time.
    """

    async def main() -> None:
        plugin = FakePlugin(answers={("1", Kind.PROTOCOL): hang})
        async with open_eyes(plugin, make_cluster(1, roles=frozenset())) as eyes:
            await asyncio.sleep(0.7)
            plugin.answers["1", Kind.PROTOCOL] = answering_after(0.5)
            eyes.service.look(["1"])
            await asyncio.sleep(1.0)
        assert plugin.times("1") == near([NOW, NOW + 0.7])
        (result,) = eyes.of("1")
        assert result.outcome is Outcome.ANSWERED
        assert result.started == near(NOW + 0.7)

    run_virtual(main())


def test_whoever_asks_all_the_time_does_not_starve_a_slow_node() -> None:
    """A look that was asked for runs to its end, however often another one is asked for."""

    async def main() -> None:
        plugin = FakePlugin(answers={("1", Kind.PROTOCOL): answering_after(2.0)})
        async with open_eyes(plugin, make_cluster(1, roles=frozenset())) as eyes:
            for _ in range(100):
                await asyncio.sleep(0.1)
                eyes.service.look(["1"])
        heard = eyes.of("1")
        assert len(heard) == 4
        assert {result.outcome for result in heard} == {Outcome.ANSWERED}

    run_virtual(main())


def test_a_suspected_node_has_the_short_limit_at_once() -> None:
    """A look that began before the suspicion ends with it: after a second, not after three.

    PROTOCOL began 1.4 s before JVM's failure is known; it has waited longer than a suspected node
    may let us wait, so that is a silent look, and the next one has a limit of a second.
    """

    async def main() -> None:
        plugin = FakePlugin(frozenset({Kind.PROTOCOL, Kind.JVM}))
        async with open_eyes(plugin, make_cluster(1, roles=frozenset())) as eyes:
            await asyncio.sleep(20)
            plugin.answers["1", Kind.PROTOCOL] = hang
            eyes.service.look(["1"], [Kind.PROTOCOL])
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(1.4)
            plugin.answers["1", Kind.JVM] = refused
            eyes.service.look(["1"], [Kind.JVM])
            await asyncio.sleep(2.5)
        silent = [r for r in eyes.of("1") if r.outcome is Outcome.TIMED_OUT]
        assert silent[0].started == near(began)
        assert silent[0].ended - began == near(1.4, abs=0.01)
        assert silent[0].error == "no answer within 1.4 s"
        assert silent[1].started == near(began + 1.4, abs=0.01)
        assert silent[1].ended - silent[1].started <= 1.26

    run_virtual(main())


def test_a_hint_lets_a_silent_look_count() -> None:
    """What has waited 0.6 s when the suspicion comes waits 0.4 s more, and is a silent look then.

    Cut off at once, it would have to begin again.
    """

    async def main() -> None:
        plugin = FakePlugin(frozenset({Kind.PROTOCOL, Kind.JVM}))
        async with open_eyes(plugin, make_cluster(1, roles=frozenset())) as eyes:
            await asyncio.sleep(21)
            plugin.answers["1", Kind.PROTOCOL] = hang
            while not plugin.running["1", Kind.PROTOCOL]:
                await asyncio.sleep(0.01)
            began = plugin.times("1")[-1]
            await asyncio.sleep(began + 0.6 - asyncio.get_running_loop().time())
            plugin.answers["1", Kind.JVM] = refused
            eyes.service.look(["1"], [Kind.JVM])
            await asyncio.sleep(1)
        silent = next(r for r in eyes.of("1") if r.outcome is Outcome.TIMED_OUT)
        assert silent.started == near(began)
        assert silent.ended == near(began + 1.0, abs=0.01)

    run_virtual(main())


def test_a_witness_that_was_silent_once_is_suspected_for_a_while_only() -> None:
    """It is looked at each second for an interval; if it answers for itself, no longer."""

    async def main() -> None:
        plugin = FakePlugin(
            frozenset({Kind.PROTOCOL, Kind.QUORUM}), answers={("1", Kind.QUORUM): hang}
        )
        loop = asyncio.get_running_loop()
        async with open_eyes(plugin):
            await asyncio.sleep(4)  # its first look at 1000 s is silent after 3.25 s
            limits = {limit for at, node, kind, limit in plugin.asked if at > NOW + 3.3}
            await asyncio.sleep(3)
            close = len(plugin.times("1", since=NOW + 3.3))
            await asyncio.sleep(20)
            later = plugin.times("1", since=loop.time() - 12)
        assert 1.0 in limits
        assert close >= 3
        assert len(later) <= 3

    run_virtual(main())


@pytest.mark.parametrize("moment", range(10))
def test_a_hang_has_three_silent_looks_within_its_session(moment: int) -> None:
    """Whenever a combined node begins to hang, its third silent look is over within 8 s.

    The kinds are asked at different moments of the interval, the first silence calls the others
    with the short limit, and what has waited so long already counts. A session lasts 9 s.
    """

    async def main() -> None:
        plugin = FakePlugin(
            frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE, Kind.QUORUM})
        )

        def silent(kind: Kind) -> Callable[[], Awaitable[Outcome]]:
            async def answer() -> Outcome:
                await asyncio.sleep(plugin.contexts["1", kind].timeout_s)
                return Outcome.TIMED_OUT

            return answer

        async with open_eyes(plugin) as eyes:
            eyes.service.look("123")  # whoever asks does not make all kinds beat as one
            await asyncio.sleep(30 + moment / 2)
            hung = asyncio.get_running_loop().time()
            for kind in (Kind.PROTOCOL, Kind.JVM, Kind.QUORUM):
                plugin.answers["1", kind] = silent(kind)
            await asyncio.sleep(12)
        ended = [r.ended for r in eyes.of("1") if r.outcome is Outcome.TIMED_OUT]
        assert ended[2] - hung <= 8.0

    run_virtual(main())


def test_the_look_of_a_proposal_waits_for_no_knock_that_runs() -> None:
    """At a silent node, the look that a proposal asks for begins at once and ends within 1.3 s."""

    async def main() -> None:
        plugin = FakePlugin(answers={("1", Kind.PROTOCOL): hang})
        async with open_eyes(plugin, make_cluster(1, roles=frozenset())) as eyes:
            await asyncio.sleep(40)
            knocks = len(plugin.times("1"))
            while len(plugin.times("1")) == knocks:
                await asyncio.sleep(0.3)
            await asyncio.sleep(0.3)  # a knock has begun by itself and runs
            asked = asyncio.get_running_loop().time()
            eyes.service.look(["1"])
            await asyncio.sleep(2)
        fresh = [r for r in eyes.of("1") if r.started >= asked]
        assert fresh[0].started == near(asked, abs=0.01)
        assert fresh[0].ended <= asked + 1.3

    run_virtual(main())


def test_a_program_with_its_own_limit_is_not_begun_anew() -> None:
    """A check that runs for long is let run when somebody asks for a look; another one follows."""

    async def main() -> None:
        plugin = FakePlugin(
            frozenset({Kind.CUSTOM}),
            answers={("1", Kind.CUSTOM): answering_after(8.0)},
            limits={Kind.CUSTOM: 10.0},
        )
        async with open_eyes(plugin, make_cluster(1, roles=frozenset())) as eyes:
            await asyncio.sleep(1)
            eyes.service.look(["1"])
            await asyncio.sleep(16)
        assert plugin.cancelled == 1  # the third one, by the end
        assert plugin.times("1", Kind.CUSTOM)[:2] == near([NOW, NOW + 8.0])
        assert {limit for *_, limit in plugin.asked} == {10.0}

    run_virtual(main())


def test_with_no_witness_left_whoever_asks_all_the_time_keeps_nobody_from_anything() -> None:
    """There is nobody to wait for: each answer that nobody was asked would bring the next wish."""

    async def main() -> None:
        plugin = FakePlugin(frozenset({Kind.PROTOCOL, Kind.PEERS}))
        plugin.answers.update(dict.fromkeys([(id_, Kind.PROTOCOL) for id_ in "123"], refused))
        async with open_eyes(plugin) as eyes:
            await asyncio.sleep(6.0)

            def unasked() -> list[CheckResult]:
                return [r for r in eyes.results if r.outcome is Outcome.NOT_ASKED]

            before = len(unasked())
            for _ in range(1000):
                eyes.service.look(["1"], [Kind.PEERS])
                await asyncio.sleep(0.001)
            assert 0 < len(unasked()) - before <= 1.0 / LEAST_PAUSE_S + 1

    run_virtual(main())


@pytest.mark.parametrize("kinds", [frozenset({Kind.PROTOCOL}), frozenset({Kind.SERVICE})])
def test_no_look_runs_beside_another_of_its_kind(kinds: frozenset[Kind]) -> None:
    """However often looks are asked for at a hung node, each kind has one under way at most."""

    async def main() -> None:
        plugin = FakePlugin(kinds, answers={("1", kind): hang for kind in kinds})
        cluster = make_cluster(3, roles=frozenset({Role.BROKER}))
        async with open_eyes(plugin, cluster) as eyes:
            for _ in range(300):
                await asyncio.sleep(0.07)
                eyes.service.look(["1", "2"])
                plugin.contexts["1", next(iter(kinds))].hint("again")
        assert set(plugin.most_running.values()) == {1}

    run_virtual(main())


def test_what_a_host_reaches_is_asked_for_a_while() -> None:
    """Once the mind wants to know, its HOST looks ask it for two intervals; no other node's do."""

    async def main() -> None:
        plugin = FakePlugin(offers=frozenset({Kind.HOST, Kind.PROTOCOL}))
        asked: list[bool] = []
        async with open_eyes(plugin) as eyes:
            eyes.service.look(["1"], [Kind.HOST], reach=True)
            for _ in range(4):
                await asyncio.sleep(5.0)
                asked.append(plugin.contexts["1", Kind.HOST].reach)
            others = [c.reach for key, c in plugin.contexts.items() if key != ("1", Kind.HOST)]
        assert asked == [True, True, False, False]
        assert not any(others)

    run_virtual(main())
