"""ZooKeeper mode and certificates: what cannot be read never permits, whichever field it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from tests.unit.healing.scenes import AUTO, Scene, combined, zookeeper
from tests.unit.healing.test_certificates import GOOD, OTHER, secured, told
from tests.unit.healing.test_fail_closed import BLANKS, Change, blanks

from kafka_self_healing.healing.guards import quorum
from kafka_self_healing.healing.guards.evidence import certificates_are_valid
from kafka_self_healing.healing.guards.subject import Question
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import (
    CertificateFact,
    CheckResult,
    ListenerCertificate,
    LogFact,
    ProtocolFact,
)


def of(cls: type[Any], name: str) -> Change:
    """Blank one field of one type of fact."""
    blank: dict[str, Any] = {name: None}
    return lambda fact: replace(fact, **blank) if isinstance(fact, cls) else fact


ALL_BLANKS: dict[str, Change] = {
    **BLANKS,
    **{f"protocol.{n}": of(ProtocolFact, n) for n in blanks(ProtocolFact)},
    **{f"log.{n}": of(LogFact, n) for n in blanks(LogFact)},
}


def released_while_lost(scene: Scene) -> None:
    """Node 2 is dead and dropped, and then the ensemble is lost for good."""
    scene.say(Order.MAINTENANCE, "2")
    scene.crash("2")
    scene.run(30)
    for member in ("201", "202"):
        scene.say(Order.MAINTENANCE, member)
    scene.crash("201", "202")
    scene.run(10)
    scene.say(Order.MAINTENANCE_END, "2")


def hung_while_lost(scene: Scene) -> None:
    """Node 2 hangs, is dropped under a pause, and then the living members serve nobody."""
    scene.say(Order.PAUSE)
    scene.hang("2")
    scene.run(30)
    scene.isolate("201", "202", "203")
    scene.run(10)
    scene.say(Order.RESUME)


def two_members(scene: Scene) -> None:
    """One member is down by somebody's will, another hangs."""
    scene.operator_stop("203")
    scene.run(15)
    scene.hang("202")


def by_hand(scene: Scene) -> None:
    """A member that something started outside its unit."""
    scene.crash("202", lock_held=True)


SITUATIONS: dict[str, tuple[Callable[[Scene], None], float]] = {
    "healthy": (lambda scene: None, 25),
    "still registered": (lambda scene: scene.crash("2"), 16),
    "no witness, still registered": (lambda scene: scene.crash("1", "2", "3"), 20),
    "released, but the ensemble is lost": (released_while_lost, 40),
    "dropped, but the ensemble is lost": (hung_while_lost, 40),
    "two members": (two_members, 30),
    "a member stopped by an operator": (lambda scene: scene.operator_stop("202"), 25),
    "a member started by hand": (by_hand, 25),
    "a member just hung": (lambda scene: scene.hang("202"), 9),
    "members that do not serve": (lambda scene: scene.isolate("201", "202", "203"), 40),
}


def acts(name: str, change: Change | None) -> set[tuple[str, str]]:
    """What is done in one situation."""
    scene = Scene(zookeeper(), policy=AUTO)
    scene.run(5)
    strike, seconds = SITUATIONS[name]

    def lens(look: CheckResult) -> CheckResult:
        blank = change is not None and look.fact is not None
        return replace(look, fact=change(look.fact)) if blank else look  # type: ignore[misc,arg-type]

    scene.lens = lens
    strike(scene)
    scene.run(seconds)
    return set(scene.acted())


@pytest.mark.parametrize("name", SITUATIONS)
def test_no_situation_brings_an_act_and_no_blank_does(name: str) -> None:
    """Refused when all can be read, and refused whichever single field cannot be."""
    assert acts(name, None) == set()
    acted = {blank: found for blank, change in ALL_BLANKS.items() if (found := acts(name, change))}
    assert acted == {}


@pytest.mark.parametrize("name", [field.name for field in fields(ListenerCertificate)][2:])
@pytest.mark.parametrize("days", [80.0, -1.0])
def test_blanking_a_certificate_permits_nothing(name: str, days: float) -> None:
    """A hung node with an expired certificate stays refused; with a good one, too, if need be."""
    scene = Scene(secured(combined()), policy=AUTO)
    scene.run(70)
    blank: dict[str, Any] = {name: None}
    told(
        scene,
        GOOD,
        replace(OTHER, days_left=days, **blank) if name != "days_left" else replace(OTHER, **blank),
    )
    scene.hang("2")
    scene.run(30)
    harmless = days > 0 and name in {"subject", "issuer", "not_after"}
    assert (scene.acted() != []) is harmless


def test_an_empty_fact_permits_nothing() -> None:
    """A look at the certificates that brought no list is no look."""
    scene = Scene(secured(combined()), policy=AUTO)
    scene.run(70)
    told(scene)
    assert scene.view is not None
    assert scene.view.certificates == {}
    assert CertificateFact().listeners is None
    scene.hang("2")
    scene.run(30)
    assert scene.acted() == []


@pytest.mark.parametrize("guard", [quorum.registration_released, certificates_are_valid])
def test_a_new_guard_that_raises_refuses(
    guard: Callable[[Question], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in what a guard reads is a refusal, not an act."""

    def broken(*_: object) -> None:
        raise KeyError("bug")

    owner = quorum if guard is quorum.registration_released else None
    if owner is not None:
        monkeypatch.setattr(quorum, "_still_listed", broken)
        scene = Scene(zookeeper(), policy=AUTO)
        scene.run(5)
        scene.crash("2")
    else:
        monkeypatch.setattr("kafka_self_healing.healing.guards.evidence._tls_listeners", broken)
        scene = Scene(secured(combined()), policy=AUTO)
        scene.run(70)
        told(scene, GOOD, OTHER)
        scene.hang("2")
    scene.run(40)
    assert scene.acted() == []
    assert "guard_failed" in scene.reasons("2")
