"""Places for looks that run programs: whoever hangs has few, whoever is quick never waits long."""

from __future__ import annotations

from tests.unit.monitoring.fake_eyes import FakePlugin, make_cluster

from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.monitoring.lanes import Lanes
from kafka_self_healing.monitoring.watch import Watch

PLUGIN = FakePlugin(frozenset({Kind.SERVICE}))


def watches(number: int, kind: Kind = Kind.SERVICE, *, slow: bool = False) -> list[Watch]:
    """Return a watch of a kind at each of so many nodes."""
    nodes = make_cluster(number).nodes.values()
    made = [Watch(PLUGIN, kind, node) for node in nodes]
    for watch in made:
        watch.slow = slow
    return made


def admitted(lanes: Lanes, asking: list[Watch], now: float = 0.0) -> list[Watch]:
    """Return those of them whose look may begin."""
    return [watch for watch in asking if lanes.admit(watch, now)]


def test_what_runs_no_program_needs_no_place() -> None:
    """A thousand looks at a protocol are admitted at once."""
    lanes = Lanes()
    assert len(admitted(lanes, watches(1000, Kind.PROTOCOL))) == 1000


def test_sixty_four_run_and_the_next_in_line_follows() -> None:
    """Who waits longest begins when one has ended."""
    lanes, asking = Lanes(), watches(70)
    running = admitted(lanes, asking)
    assert running == asking[:64]
    assert lanes.leave(running[3], 0.1) == [asking[64]]
    assert lanes.leave(running[4], 0.1) == [asking[65]]


def test_hosts_that_hang_have_half_as_many_places_of_their_own() -> None:
    """A hundred hung hosts take 32 places, and the quick ones still have all of theirs."""
    lanes = Lanes()
    hung, quick = watches(100, slow=True), watches(64)
    assert len(admitted(lanes, hung)) == 32
    assert len(admitted(lanes, quick)) == 64
    assert lanes.leave(quick[0], 0.1) == []
    assert lanes.leave(hung[0], 0.1) == [hung[32]]


def test_a_look_that_lasts_gives_its_place_to_others() -> None:
    """Hosts that hang for the first time are known after half a second, not at their time limit."""
    lanes, asking = Lanes(), watches(200)
    running = admitted(lanes, asking)
    assert lanes.age(0.4) == []
    assert lanes.age(0.6) == asking[64:128]
    assert lanes.age(1.2) == [], "128 run in all"
    assert lanes.leave(running[0], 1.3) == [asking[128]]


def test_a_node_has_one_look_beside_its_service() -> None:
    """HOST waits for LOG of the same node, and neither holds back SERVICE nor another node."""
    lanes = Lanes()
    log, other = watches(2, Kind.LOG)
    host, service = watches(1, Kind.HOST)[0], watches(1)[0]
    assert admitted(lanes, [log, host, service, other]) == [log, service, other]
    assert lanes.leave(other, 0.1) == []
    assert lanes.leave(log, 0.2) == [host]
