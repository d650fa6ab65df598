"""The whole daemon in virtual time: no invariant is broken, and only four ports are replaced."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from kafka_self_healing import app
from kafka_self_healing.monitoring.clients import WireClients
from kafka_self_healing.ports import Ports
from kafka_self_healing.simulation import faults, tier_b
from kafka_self_healing.simulation.parallel import on_all_cores
from kafka_self_healing.simulation.runner import Outcome
from kafka_self_healing.simulation.scenarios import Scenario, Shape
from kafka_self_healing.simulation.tier_b.faults import (
    DaemonFault,
    DiesAt,
    Place,
    SleepsInAct,
    SmtpDown,
    StoreFull,
)
from kafka_self_healing.simulation.tier_b.runner import play, run
from kafka_self_healing.simulation.tier_b.wire import SimWire
from kafka_self_healing.storage import Journal, StoredOutbox

SEEDS = 20
ONCE_BAD: tuple[int, ...] = (31, 32, 161, 350, 372, 373, 420, 1003)
"""Seeds beyond those that once broke an invariant, of the daemon or of the simulation itself."""

FOLDER = Path(tier_b.__file__).parent
CRASH = (faults.Crash(60.0, "2"),)
HANG = (faults.Hang(60.0, "2"),)


def test_no_invariant_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon keeps every invariant in 20 drawn scenarios."""
    outcomes = list(on_all_cores(run, range(SEEDS), "ordinary seeds", tell=False))
    with capsys.disabled():
        print(f"\ntier B: {len(outcomes)} seeds, {sum(not one.good for one in outcomes)} bad")
    assert {found.seed: found.violations for found in outcomes if not found.good} == {}


def test_once_bad_seeds_stay_good() -> None:
    """What a seed once found does not come back."""
    outcomes = {seed: run(seed) for seed in ONCE_BAD}
    assert {seed: found.violations for seed, found in outcomes.items() if not found.good} == {}


# --- what is replaced ----------------------------------------------------------------------------


def test_there_are_four_ports() -> None:
    """Whoever adds a fifth way to replace a part of the daemon has to say so here."""
    assert [field.name for field in fields(Ports)] == ["wire", "hosts", "smtp", "executor"]


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return found | {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }


def test_the_composition_root_is_given_the_ports_and_nothing_else() -> None:
    """`daemon_of` is called once, with ears and the ports: no other checks, no other parts."""
    calls = [
        node
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "daemon_of"
    ]
    (call,) = calls
    given = [ast.unparse(argument) for argument in call.args]
    assert given == ["around.settings", "around.clock"]
    assert {word.arg for word in call.keywords} == {"redact", "crash_point", "hear", "ports"}


def test_no_part_of_the_daemon_is_made_or_reached_by_hand() -> None:
    """The simulation imports what the ports are made of, the memory to look into, and the words."""
    allowed = {
        "kafka_self_healing.app": {"process"},
        "kafka_self_healing.daemon": {"process"},
        "kafka_self_healing.healing.memory": {"runner"},
        "kafka_self_healing.monitoring.clients": {"wire"},
        "kafka_self_healing.monitoring.checks.handshake": {"wire"},
        "kafka_self_healing.storage": {"process", "verdict"},
        "kafka_self_healing.storage.lease": {"healer"},
        "kafka_self_healing.storage.store": {"verdict"},
        "kafka_self_healing.observability": {"verdict"},
    }
    parts = ("healing", "monitoring", "recovery", "notification", "storage", "observability")
    found: dict[str, set[str]] = {}
    for path in FOLDER.glob("*.py"):
        for name in _imports(path):
            _, _, part = name.partition("kafka_self_healing.")
            if part.split(".")[0] in {*parts, "app", "daemon", "reach"}:
                found.setdefault(name, set()).add(path.stem)
        assert not {"unittest.mock", "socket", "threading", "subprocess"} & _imports(path)
    assert found == allowed


def test_every_wire_client_is_replaced() -> None:
    """The simulated clients inherit none of the real ones' ways into the network."""
    public = {name for name in vars(WireClients) if not name.startswith("_")}
    assert public <= set(vars(SimWire))


def test_the_same_seed_is_the_same_journal_in_every_process() -> None:
    """To the byte: the hash of the last entry stands for all, whatever the hash of strings is."""
    begin = "from kafka_self_healing.simulation.tier_b.runner import run"
    code = f"{begin}; print(run(1, horizon_s=120.0).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert digests != {""}


# --- what befalls the daemon ----------------------------------------------------------------------


def _played(trouble: tuple[faults.Fault, ...], *mine: DaemonFault) -> Outcome:
    return play(Scenario(1, Shape(), trouble, horizon_s=200.0), mine, trace=True)


def test_a_crash_is_started_once_and_told() -> None:
    """The plainest case, through real checks, store, engine and mail."""
    outcome = _played(CRASH)
    assert [(one.node, one.action) for one in outcome.acts] == [("2", "service:start")]
    assert outcome.violations == ()


@pytest.mark.parametrize("place", Place)
def test_a_death_at_any_line_is_survived(place: Place) -> None:
    """Killed around a commit, a command, a mail: the node is up again, nothing is done twice."""
    outcome = _played(HANG, DiesAt(59.0, place, 5.0))
    assert outcome.violations == ()
    assert sum("DaemonStarted" in line for line in outcome.timeline) == 2


def test_mail_waits_for_its_server() -> None:
    """What could not be sent for a minute leaves once, afterwards."""
    outcome = _played(CRASH, SmtpDown(30.0, 60.0))
    assert outcome.violations == ()
    assert any("DeliveryTried" in line for line in outcome.timeline)


def test_no_act_while_the_disk_is_full() -> None:
    """What cannot be written down is not done; it is done once there is room again."""
    outcome = _played(CRASH, StoreFull(55.0, 40.0))
    assert outcome.violations == ()
    assert [one.at_s > 95.0 for one in outcome.acts] == [True]


def test_a_second_daemon_takes_over() -> None:
    """With the lock file gone and a second daemon started, only that one acts."""
    outcome = _played((faults.LeaseLost(58.0, 30.0), *CRASH))
    assert outcome.violations == ()
    assert len(outcome.acts) == 1


@pytest.mark.parametrize("in_step", [False, True])
def test_whoever_slept_past_its_lease_gives_no_command(in_step: bool) -> None:
    """Stopped between its journal and its command, overtaken, and going on: it is too late."""
    outcome = _played(CRASH, SleepsInAct(50.0, 30.0, in_step))
    assert outcome.violations == ()
    assert len(outcome.acts) == 1


# --- is the judge awake? -------------------------------------------------------------------------


def _nothing(*_arguments: Any, **_how: Any) -> int:
    return 1


def _always(_self: object) -> bool:
    return True


@pytest.mark.parametrize(
    ("where", "name", "instead", "mine", "code"),
    [
        (app.JournalStore, "holds_lease", _always, SleepsInAct(50.0, 30.0, in_step=True), "I12"),
        (StoredOutbox, "record", _nothing, SmtpDown(1.0, 0.1), "mail"),
        (Journal, "verify", _nothing, SmtpDown(1.0, 0.1), "I13"),
    ],
)
def test_a_protection_that_is_removed_is_missed(
    monkeypatch: pytest.MonkeyPatch,
    where: type,
    name: str,
    instead: Callable[..., Any],
    mine: DaemonFault,
    code: str,
) -> None:
    """The lease before a command, the record of a mail, the check of the chain."""
    monkeypatch.setattr(where, name, instead)
    assert code in {violation.code for violation in _played(CRASH, mine).violations}
