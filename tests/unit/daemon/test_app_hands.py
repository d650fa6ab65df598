"""What the composition root gives the hands: no doomed starts, no credentials in a result."""

from __future__ import annotations

from pathlib import Path

from kafka_self_healing.app import hands
from kafka_self_healing.clock import SystemClock
from kafka_self_healing.config import load, secrets_in
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.recovery import (
    ActOutcome,
    RecoveryRequest,
    RecoveryResult,
    RequestState,
    StepReport,
)
from kafka_self_healing.observability import Redactor
from kafka_self_healing.reach import Reach

CONFIG = """
cluster:
  name: orders
  service: {manager: command, start: [sh, -c, "echo pass-SECRET; exit 1"], stop: ["true"],
            kill: ["true"], status: ["true"]}
  nodes: [{id: 1, roles: [broker, controller], host: 127.0.0.1, kafka_port: 1, controller_port: 2}]
notifications:
  email: {host: 127.0.0.1, from: a@example.org, to: [b@example.org], username: u,
          password: "SECRET"}
"""
SECRET = "correct-horse-battery"


async def _start(folder: Path, unsafe: str) -> tuple[RecoveryResult, list[StepReport]]:
    """Have a node started by the hands of a configuration."""
    path = folder / "healer.yaml"
    path.write_text(CONFIG.replace("SECRET", SECRET))
    settings = load(path)
    steps: list[StepReport] = []

    async def report(step: StepReport) -> None:
        steps.append(step)

    request = RecoveryRequest(
        id="act-1",
        incident="incident-1",
        node="1",
        action="service:start",
        condition=Condition.PROCESS_GONE,
        rung=0,
        attempt=1,
        state=RequestState.EXECUTING,
        proposed=Instant(0.0, 0.0),
    )
    reach = Reach(settings.cluster, SystemClock())
    redactor = Redactor(secrets_in(settings))
    engine = hands(report, reach=reach, redact=redactor.text, unsafe=lambda: unsafe)
    try:
        return await engine.execute(request, settings.cluster.nodes["1"]), steps
    finally:
        await reach.close()


async def test_a_start_that_would_end_with_the_healer_is_not_begun(tmp_path: Path) -> None:
    """It fails with the remedy, and no step was begun."""
    result, steps = await _start(tmp_path, "set KillMode=process")
    assert (result.outcome, steps) == (ActOutcome.FAILED, [])
    assert "KillMode=process" in result.message


async def test_a_credential_in_a_command_s_output_is_not_kept(tmp_path: Path) -> None:
    """What goes to the journal and the audit file holds no password of the configuration."""
    result, _ = await _start(tmp_path, "")
    assert result.outcome is ActOutcome.FAILED
    assert "pass-" in result.stdout
    assert SECRET not in str(result)
