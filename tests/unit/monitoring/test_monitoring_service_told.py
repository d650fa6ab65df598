"""What subscribers are told, and the status of a node with checks of the operator's own."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.unit.monitoring.fake_eyes import FakePlugin, hang, make_cluster, open_eyes
from tests.unit.monitoring.virtual_time import LoopClock, run_virtual

from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    CustomFact,
    Kind,
    Outcome,
    ProbeState,
    ServiceFact,
)
from kafka_self_healing.model.health import NodeStatus, Track, is_good
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring import HealthChecker, MonitoringService

NOW = 1000.0


def test_a_subscriber_is_told_of_changes_only() -> None:
    """What is seen again is not told again; another outcome or another fact is; times are kept."""

    async def main() -> None:
        plugin = FakePlugin(frozenset({Kind.SERVICE}))
        heard: list[NodeStatus] = []
        async with open_eyes(plugin, make_cluster(1)) as eyes:
            eyes.service.subscribe(heard.append)
            await asyncio.sleep(60)
            assert len(heard) == 1
            looks = len(eyes.results)
            assert looks > 10
            latest = eyes.service.statuses["1"].tracks[Kind.SERVICE]
            assert (latest.looks, latest.result) == (looks, eyes.results[-1])
            plugin.facts["1", Kind.SERVICE] = [("", ServiceFact(active="active", restarts=1))]
            await asyncio.sleep(20)
            plugin.answers["1", Kind.SERVICE] = hang
            await asyncio.sleep(20)
        told = [status.tracks[Kind.SERVICE].result for status in heard]
        assert [result.outcome for result in told] == [
            Outcome.ANSWERED,
            Outcome.ANSWERED,
            Outcome.TIMED_OUT,
        ]
        assert len(eyes.results) > looks + 12

    run_virtual(main())


def test_a_subscriber_hears_nothing_after_it_has_left() -> None:
    """Each node's first status is told, and to nobody who does not want it any more."""

    async def main() -> None:
        heard: list[NodeStatus] = []
        plugin = FakePlugin()
        async with open_eyes(plugin) as eyes:
            leave = eyes.service.subscribe(heard.append)
            await asyncio.sleep(0.01)
            assert sorted(status.node for status in heard) == ["1", "2", "3"]
            assert heard[-1] is eyes.service.statuses[heard[-1].node]
            leave()
            plugin.answers["1", Kind.PROTOCOL] = hang
            await asyncio.sleep(30)
        assert len(heard) == 3

    run_virtual(main())


def test_a_subscriber_that_raises_ends_run() -> None:
    """Its bug is not swallowed."""

    def broken(_: NodeStatus) -> None:
        raise AssertionError("a bug")

    async def main() -> None:
        service = MonitoringService(
            make_cluster(), Policy(), [FakePlugin()], LoopClock(), lambda _result: None
        )
        service.subscribe(broken)
        with pytest.raises(ExceptionGroup):
            await service.run()

    run_virtual(main())


def test_checks_of_the_operators_own_have_tracks_by_their_names() -> None:
    """Two CUSTOM checks of one node are two tracks, and neither is the other's next look."""

    async def main() -> None:
        plugin = FakePlugin(frozenset({Kind.CUSTOM, Kind.LISTENER}))
        plugin.facts["1", Kind.CUSTOM] = [
            ("disk", CustomFact(ProbeState.CRITICAL)),
            ("lag", CustomFact(ProbeState.OK)),
        ]
        async with open_eyes(plugin, make_cluster(1)) as eyes:
            await asyncio.sleep(30)
            status = eyes.service.statuses["1"]
        assert set(status.tracks) == {Kind.LISTENER}
        assert {name: track.good for name, track in status.custom.items()} == {
            "disk": False,
            "lag": True,
        }
        assert status.custom["disk"].streak == status.custom["lag"].streak > 5
        assert not status.troubled

    run_virtual(main())


def custom(state: ProbeState | None, stands_for: Kind | None, at: float = 1.0) -> CheckResult:
    """Return what one check of the operator's own said."""
    fact = CustomFact(state, stands_for=stands_for)
    return CheckResult(HEALER, "1", Kind.CUSTOM, Outcome.ANSWERED, at, at, fact, name="own")


@pytest.mark.parametrize(
    ("state", "good", "troubles"),
    [
        (ProbeState.OK, True, False),
        (ProbeState.WARNING, True, False),
        (ProbeState.CRITICAL, False, True),
        (ProbeState.UNKNOWN, False, False),
        (None, True, False),
    ],
)
def test_a_check_that_stands_for_a_kind_is_trouble_when_it_is_critical(
    state: ProbeState, good: bool, troubles: bool
) -> None:
    """UNKNOWN is told to people and is no sign of a sick node; what stands for nothing never is."""
    assert is_good(custom(state, Kind.PROTOCOL)) is good
    assert Track.first(custom(state, Kind.PROTOCOL)).troubles is troubles
    assert Track.first(custom(state, None)).troubles is False


@pytest.mark.parametrize("kind", Kind)
def test_which_kinds_make_a_node_troubled(kind: Kind) -> None:
    """A look that failed is trouble, but not of a certificate, of a log, or of an own check."""
    checker = HealthChecker(["1"], silent_looks=3)
    heard = checker.hear(CheckResult(HEALER, "1", kind, Outcome.TIMED_OUT, 1.0, 2.0))
    assert heard is not None
    troubled = kind not in {Kind.CERTIFICATE, Kind.LOG, Kind.CUSTOM}
    assert checker.is_troubled("1") is troubled
    assert checker.any_troubled is troubled
    assert checker.status("1").troubled is troubled


def test_trouble_ends_when_each_of_its_reasons_has_ended() -> None:
    """A node is troubled as long as one kind is, be it a check of the operator's own."""
    checker = HealthChecker(["1"], silent_looks=3)
    bad = CheckResult(HEALER, "1", Kind.JVM, Outcome.REFUSED, 1.0, 1.0)
    checker.hear(bad)
    checker.hear(custom(ProbeState.CRITICAL, Kind.JVM, 2.0))
    checker.hear(replace(bad, outcome=Outcome.ANSWERED, started=3.0, ended=3.0))
    assert checker.is_troubled("1")
    checker.hear(custom(ProbeState.OK, Kind.JVM, 4.0))
    assert not checker.is_troubled("1")


def test_a_look_that_was_not_made_changes_nothing() -> None:
    """NOT_ASKED says nothing about a node."""
    checker = HealthChecker(["1"], silent_looks=3)
    assert checker.hear(CheckResult(HEALER, "1", Kind.JVM, Outcome.NOT_ASKED, 1.0, 1.0)) is None
    assert checker.status("1") == NodeStatus("1")
