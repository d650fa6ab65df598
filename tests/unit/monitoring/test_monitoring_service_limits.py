"""What bounds the looks: storms, silent nodes, hung hosts, long trouble, intervals of their own."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from tests.unit.monitoring.fake_eyes import FakePlugin, hang, make_cluster, open_eyes
from tests.unit.monitoring.virtual_time import run_virtual

from kafka_self_healing.model.evidence import Kind, Outcome, PeersFact, ServiceFact
from kafka_self_healing.model.node import Role
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring.rhythm import CALM_AFTER_S, KNOCKING

OWN = frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE})
BROKERS = frozenset({Role.BROKER})
NOW = 1000.0


async def refused() -> Outcome:
    """Answer that nobody listens."""
    return Outcome.REFUSED


def gaps(times: list[float]) -> list[float]:
    """Return the seconds between one time and the next."""
    return [after - before for before, after in pairwise(times)]


def test_a_storm_of_hints_is_spread_over_the_turns_of_the_loop() -> None:
    """A thousand nodes are asked at once by 32 looks a turn, and all of them are asked."""

    async def main() -> None:
        plugin = FakePlugin()
        cluster = make_cluster(1000, roles=BROKERS)
        async with open_eyes(plugin, cluster) as eyes:
            await asyncio.sleep(3)
            plugin.asked.clear()
            eyes.service.look(cluster.nodes)
            seen = []
            while len(plugin.asked) < 1000:
                before = len(plugin.asked)
                await asyncio.sleep(0)
                seen.append(len(plugin.asked) - before)
            assert max(seen) <= 32
        assert len({node for _, node, _, _ in plugin.asked}) == 1000

    run_virtual(main())


def test_a_hint_in_a_big_group_asks_for_the_sign_of_life_and_not_each_second() -> None:
    """One node that flaps makes no thousand looks of all kinds a second."""

    async def main() -> None:
        plugin = FakePlugin(OWN)
        cluster = make_cluster(500, roles=BROKERS)
        async with open_eyes(plugin, cluster):
            await asyncio.sleep(20)
            plugin.asked.clear()
            for _ in range(40):
                plugin.contexts["7", Kind.PROTOCOL].hint("closed")
                await asyncio.sleep(0.25)
        asked = [kind for _, node, kind, _ in plugin.asked if node != "7"]
        rounds = 10 / 5 * 1.1
        assert asked.count(Kind.JVM) <= 500 * rounds
        assert 500 * (rounds - 0.4) < asked.count(Kind.PROTOCOL) <= 500 * (rounds + 2)

    run_virtual(main())


def test_a_connection_that_is_closed_as_soon_as_it_opens_is_no_busy_loop() -> None:
    """Hints about one node make some looks a second, and no more."""

    async def main() -> None:
        plugin = FakePlugin()

        async def closed_again() -> Outcome:
            plugin.contexts["1", Kind.PROTOCOL].hint("its connection was closed")
            return Outcome.ANSWERED

        plugin.answers["1", Kind.PROTOCOL] = closed_again
        async with open_eyes(plugin, make_cluster(1, roles=BROKERS)):
            await asyncio.sleep(10)
        assert 30 <= len(plugin.times("1")) <= 80

    run_virtual(main())


def test_a_silent_nodes_backlog_is_not_filled() -> None:
    """In ten minutes of silence each kind knocks three times and then every 15 s, no more.

    Another node flaps meanwhile, and each of its hints asks for a look at the whole group.
    """

    async def main() -> None:
        policy = Policy()
        plugin = FakePlugin(OWN | {Kind.QUORUM})
        async with open_eyes(plugin, policy=policy) as eyes:
            await asyncio.sleep(30)
            for kind in KNOCKING & plugin.kinds:
                plugin.answers["1", kind] = hang
            since = asyncio.get_running_loop().time()
            for _ in range(600):
                await asyncio.sleep(1)
                plugin.contexts["2", Kind.PROTOCOL].hint("closed")
        assert [r.outcome for r in eyes.of("1")][-1] is Outcome.TIMED_OUT
        allowed = policy.silent_looks + 2 + 600 / policy.silent_interval_s
        for kind in KNOCKING & plugin.kinds:
            assert len(plugin.times("1", kind, since)) <= allowed, kind
        assert len(plugin.times("1", Kind.SERVICE, since)) > 550

    run_virtual(main())


def test_another_process_at_a_silent_node_is_knocked_at_at_once() -> None:
    """A silent node that somebody restarted is asked when SERVICE shows it, not 15 s later."""

    async def main() -> None:
        plugin = FakePlugin(OWN, answers={("1", Kind.PROTOCOL): hang})
        plugin.facts["1", Kind.SERVICE] = [("", ServiceFact(active="active", pid=10))]
        async with open_eyes(plugin) as eyes:
            await asyncio.sleep(40)
            del plugin.answers["1", Kind.PROTOCOL]
            plugin.facts["1", Kind.SERVICE] = [("", ServiceFact(active="active", pid=11))]
            changed = asyncio.get_running_loop().time()
            await asyncio.sleep(2)
        assert eyes.of("1")[-1].outcome is Outcome.ANSWERED
        assert plugin.times("1", since=changed)[0] <= changed + 1.2

    run_virtual(main())


def test_trouble_that_lasts_is_looked_at_in_the_usual_rhythm_until_it_changes() -> None:
    """After ten minutes without any change SERVICE and the witnesses are asked every 5 s again.

    Not before, whatever session runs out meanwhile; and each second again as soon as one look
    shows another state of affairs.
    """

    async def main() -> None:
        plugin = FakePlugin(OWN | {Kind.PEERS}, answers={("1", Kind.PROTOCOL): hang})
        fact = ServiceFact(active="active", pid=10)
        plugin.facts["1", Kind.SERVICE] = [("", fact)]
        loop = asyncio.get_running_loop()
        async with open_eyes(plugin):
            await asyncio.sleep(CALM_AFTER_S - 5)
            close = plugin.times("1", Kind.SERVICE, NOW + 20)
            await asyncio.sleep(60)
            calm_from = loop.time() - 40
            calm = plugin.times("1", Kind.SERVICE, calm_from)
            witnesses = [at for at, _, kind, _ in plugin.asked if kind is Kind.PEERS]
            plugin.facts["1", Kind.SERVICE] = [("", ServiceFact(active="active", pid=11))]
            await asyncio.sleep(10)
            again = plugin.times("1", Kind.SERVICE, loop.time() - 4)
        assert max(gaps(close)) <= 1.2
        assert 4.7 <= min(gaps(calm)) <= max(gaps(calm)) <= 5.4
        assert len([at for at in witnesses if at > calm_from]) <= 2 * 9
        assert max(gaps(again)) <= 1.2

    run_virtual(main())


def test_a_calm_nodes_facts_stay_fresh() -> None:
    """Between two looks that end at the usual limit there is less than twice the interval."""

    async def main() -> None:
        plugin = FakePlugin(OWN, answers={("1", Kind.SERVICE): hang})
        async with open_eyes(plugin) as eyes:
            await asyncio.sleep(CALM_AFTER_S + 120)
        ended = [result.ended for result in eyes.of("1", Kind.SERVICE)]
        assert max(gaps([at for at in ended if at > NOW + CALM_AFTER_S])) < 2 * Policy().interval_s

    run_virtual(main())


def test_a_node_that_the_others_drop_is_looked_at_at_once() -> None:
    """A broker that a witness no longer counts is looked at, and closely if it is in trouble."""

    async def main() -> None:
        plugin = FakePlugin(
            frozenset({Kind.PEERS, Kind.SERVICE, Kind.PROTOCOL}),
            answers={("3", Kind.PROTOCOL): refused},
        )
        loop = asyncio.get_running_loop()
        for node in "123":
            plugin.facts[node, Kind.PEERS] = [("", PeersFact(listed=("1", "2", "3"), fenced=()))]
        async with open_eyes(plugin) as eyes:
            await asyncio.sleep(CALM_AFTER_S + 60)
            for node in "123":
                plugin.facts[node, Kind.PEERS] = [("", PeersFact(("1", "2", "3"), fenced=("3",)))]
            eyes.service.look([], [Kind.PEERS])
            dropped = loop.time()
            await asyncio.sleep(5)
        looks = plugin.times("3", Kind.SERVICE, since=dropped)
        assert looks[0] <= dropped + 0.3
        assert max(gaps(looks)) <= 1.2

    run_virtual(main())


def test_an_interval_of_its_own_is_not_shortened_by_trouble() -> None:
    """A certificate is read once an hour, also of a troubled node; a look that is asked for counts.

    Kinds without an interval of their own are sped up beside it.
    """

    async def main() -> None:
        plugin = FakePlugin(
            frozenset({Kind.CERTIFICATE, Kind.LISTENER}),
            answers={("1", Kind.LISTENER): refused},
            intervals={Kind.CERTIFICATE: 3600.0},
        )
        async with open_eyes(plugin) as eyes:
            await asyncio.sleep(1)
            assert plugin.times("1", Kind.CERTIFICATE) == [NOW]
            await asyncio.sleep(300)
            eyes.service.look(["2"], [Kind.CERTIFICATE])
            await asyncio.sleep(0.01)
        assert len(plugin.times("1", Kind.CERTIFICATE)) <= 2
        assert plugin.times("2", Kind.CERTIFICATE)[-1] == pytest.approx(NOW + 301)
        assert max(gaps(plugin.times("1", Kind.LISTENER, NOW + 10))) <= 1.2

    run_virtual(main())


def test_hung_hosts_do_not_delay_the_others() -> None:
    """Eighty of 300 hosts hang at once: the others' SERVICE is read every 5 s, within bounds."""

    async def prompt() -> Outcome:
        await asyncio.sleep(0.1)
        return Outcome.ANSWERED

    async def main() -> None:
        cluster = make_cluster(300, roles=BROKERS)
        plugin = FakePlugin(
            frozenset({Kind.SERVICE}),
            answers={(node, Kind.SERVICE): prompt for node in cluster.nodes},
        )
        async with open_eyes(plugin, cluster):
            await asyncio.sleep(30)
            assert plugin.most_at_once <= 64
            for node in range(1, 81):
                plugin.answers[str(node), Kind.SERVICE] = hang
            since = asyncio.get_running_loop().time()
            await asyncio.sleep(60)
        assert plugin.most_at_once <= 128
        late = [max(gaps(plugin.times(str(node), Kind.SERVICE, since))) for node in range(81, 301)]
        assert max(late) <= 5.5
        hung = [len(plugin.times(str(node), Kind.SERVICE, since + 20)) for node in range(1, 81)]
        assert min(hung) >= 8

    run_virtual(main())


def test_a_log_that_cannot_be_read_does_not_delay_the_service() -> None:
    """At a host whose disk hangs SERVICE is read each second, the other kinds one at a time."""

    async def main() -> None:
        kinds = frozenset({Kind.SERVICE, Kind.HOST, Kind.LOG})
        plugin = FakePlugin(kinds, answers={("1", Kind.HOST): hang, ("1", Kind.LOG): hang})
        most = 0
        async with open_eyes(plugin, make_cluster(1, roles=BROKERS)):
            await asyncio.sleep(20)
            for _ in range(100):
                await asyncio.sleep(0.1)
                most = max(most, plugin.running.total())
        assert max(gaps(plugin.times("1", Kind.SERVICE, NOW + 20))) <= 1.2
        assert plugin.times("1", Kind.HOST, NOW + 20)
        assert plugin.times("1", Kind.LOG, NOW + 20)
        assert most == 1

    run_virtual(main())
