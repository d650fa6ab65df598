"""The virtual world changes as the real one did: each kind of evidence, within 2 s or 25 %."""

from __future__ import annotations

import pytest
from tests.simulation.calibration import Case, recorded, simulated

from kafka_self_healing.simulation import faults

V = "victim"
CASES = (
    Case("kraft-crash", (faults.Crash(0.0, V),), leads=False),
    Case("kraft-hang", (faults.Hang(0.0, V),), leads=False),
    Case("kraft-stop-143", (faults.OperatorStop(0.0, V),), leads=False),
    Case("kraft-quorum-loss", (faults.QuorumLoss(0.0, ()),), leads=False),
    Case("kraft-cut-healer", (faults.CutHealer(0.0, (), 60.0),), leads=False),
    Case("kraft-host-off", (faults.PowerCut(0.0, V, 60.0),), leads=False),
    Case("kraft-host-freeze", (faults.HostFreezes(0.0, V, 60.0),), leads=False),
    Case("kraft-jmx-off", (faults.JmxOff(0.0, V, 60.0),), leads=False),
    Case("kraft-disk-full", (faults.DiskFails(0.0, V, faults.Disk.FULL),), leads=False),
    Case(
        "kraft-jbod-disk-dead", (faults.DiskFails(0.0, V, faults.Disk.ONE_OF_TWO),), leads=False
    ),
    Case(
        "kraft-slow-start",
        (faults.Crash(0.0, V, recovery_s=43.0), faults.StartedBySomebody(3.8, V)),
        leads=False, since=0.0, until=53.0,
    ),
    Case("kraft-separate-ctl-crash", (faults.Crash(0.0, V),), leads=False),
    Case("kraft-separate-ctl-hang-leader", (faults.Hang(0.0, V),), leads=True),
    Case("kraft-separate-ctl-quorum-loss", (faults.QuorumLoss(0.0, ()),), leads=True),
    Case("zk-crash", (faults.Crash(0.0, V),), controls=False),
    Case("zk-crash-controller", (faults.Crash(0.0, V),), controls=True),
    Case("zk-hang-controller", (faults.Hang(0.0, V),), controls=True),
    Case("zk-stop", (faults.OperatorStop(0.0, V),), controls=False),
    Case(
        "zk-early-start", (faults.Crash(4.0, V), faults.StartedBySomebody(14.6, V)),
        controls=False, since=16.0, until=25.0,
    ),
    Case("zk-cut-peers", (faults.Isolate(0.0, V, 80.0),), controls=False, whole_host=True),
    Case("zk-power-cut", (faults.PowerCut(0.0, V, 28.0, starts_it=True),), controls=False,
         whole_host=True),
    Case("zk-disk-dead", (faults.DiskFails(0.0, V, faults.Disk.DEAD),), controls=False),
    Case("zk-oom", (faults.HeapExhausted(0.0, V, 0.6),), controls=False),
    Case("zk-two-brokers", (faults.Crash(0.0, V),), controls=False),
    Case("zk-start-limit", (faults.Crash(0.0, V, dies_after_s=0.9),), controls=False,
         auto_restart=True),
    Case("zk-zk-crash", (faults.Crash(0.0, V),), leads=False),
    Case("zk-zk-hang-leader", (faults.Hang(0.0, V),), leads=True),
    Case("zk-zk-quorum-loss", (faults.QuorumLoss(0.0, ()),), leads=False),
)  # fmt: skip

SSH_PENDING = "the recording asked again only when its ssh of 4 s had ended"
NOT_A_WITNESS = "a node that looks sick is not asked as a witness"
REASONS: dict[tuple[str, str], str] = {
    ("kraft-cut-healer", "HOST of the victim: outcome"): SSH_PENDING,
    ("kraft-cut-healer", "SERVICE of the victim: outcome"): SSH_PENDING,
    ("kraft-host-off", "HOST of the victim: outcome"): SSH_PENDING,
    ("kraft-host-off", "SERVICE of the victim: outcome"): SSH_PENDING,
    ("kraft-host-freeze", "HOST of the victim: outcome"): SSH_PENDING,
    ("kraft-host-freeze", "SERVICE of the victim: outcome"): SSH_PENDING,
    ("kraft-host-freeze", "PEERS by the victim: outcome"): SSH_PENDING,
    ("kraft-jbod-disk-dead", "PEERS by others: in sync"): (
        "the recording counts partitions; which half of them left the ISR is not known"
    ),
    ("kraft-separate-ctl-hang-leader", "LISTENER of the victim: outcome"): (
        "our own probes fill the listen backlog of a frozen process; that changes no diagnosis"
    ),
    ("zk-crash-controller", "PEERS by others: offline partitions"): (
        "leaders are elected at once when the new controller begins, not a second later"
    ),
    ("zk-hang-controller", "PEERS by others: offline partitions"): (
        "leaders are elected at once when the new controller begins, not a second later"
    ),
    ("zk-stop", "JVM of the victim: running"): "the port closed before the next look of JMX",
    ("zk-stop", "PEERS by the victim: lists all"): NOT_A_WITNESS,
    ("zk-disk-dead", "PEERS by the victim: outcome"): NOT_A_WITNESS,
    ("zk-oom", "PROTOCOL of another: mode"): "one late answer of a member in the recording",
    ("zk-oom", "PROTOCOL of another: serving"): "one late answer of a member in the recording",
}
"""Where the world differs from a recording, and why that is right or does not matter."""


def _alike(recorded_s: float | None, world_s: float | None, since: float) -> bool:
    if recorded_s is None or world_s is None:
        return False
    return abs(recorded_s - world_s) <= max(2.0, 0.25 * (recorded_s - since))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_evidence_changes_when_it_did(case: Case) -> None:
    """Proves each first change after the fault, within 2 s or 25 %, or a reason why not."""
    there, here = recorded(case), simulated(case)
    assert there, "the recording shows nothing: its fault or its victims are wrong"
    differing = {
        name: (there.get(name), here.get(name))
        for name in sorted({*there, *here})
        if not _alike(there.get(name), here.get(name), case.since)
    }
    explained = {name for recording, name in REASONS if recording == case.name}
    assert {name: both for name, both in differing.items() if name not in explained} == {}
    assert explained <= set(differing), "it is alike now: take it out of REASONS"
