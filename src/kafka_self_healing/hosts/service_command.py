"""Service manager `command`: the operator's own programs, and the lines that `status` prints.

    state=running|starting|stopping|stopped|failed
    pid=NUMBER  exit_status=NUMBER  signal=NUMBER|NAME  restarts=NUMBER
    stopped_by=operator|healer|unknown  invocation=TEXT that changes at each start

Unknown keys and lines without `=` are left alone. Without a `state` the exit code counts as LSB
says: 0 running, 1 and 2 dead, 3 not running, 4 not known; the reason is unknown then.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts.command import CommandOutcome, CommandResult
from kafka_self_healing.hosts.host import Asked, Host, Question
from kafka_self_healing.hosts.local import LocalHost
from kafka_self_healing.hosts.service import with_reading
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.evidence import Outcome, ServiceFact

_ACTIVE_AND_SUB: Final = {
    "running": ("active", "running"),
    "starting": ("activating", "start"),
    "stopping": ("deactivating", "stop-sigterm"),
    "stopped": ("inactive", "dead"),
    "failed": ("failed", "failed"),
}
_LSB_STATES: Final = {0: "running", 1: "failed", 2: "failed", 3: "stopped"}
_LSB_UNKNOWN: Final = 4
_ENDED: Final = frozenset({"stopped", "failed"})
_NOBODY: Final = frozenset({"healer", "unknown"})
_SAID: Final = 200


class CommandServiceManager:
    """Runs the programs that the configuration names for one node."""

    def __init__(
        self, service: CommandService, host: Host, data_dirs: tuple[str, ...], address: str
    ) -> None:
        self._service, self._host = service, host
        self._question = Question(
            commands=(Asked("status", service.status),),
            pid_key="pid",
            locks=data_dirs,
            address=address,
            as_user=True,  # like the other three programs
        )

    @property
    def spawns(self) -> bool:
        """The operator's program may start the broker itself."""
        return isinstance(self._host, LocalHost)

    @property
    def restarts(self) -> bool:
        """There is no program for it: an end has to be seen before a start."""
        return False

    async def status(self, *, timeout_s: float) -> ServiceFact:
        """Return what `status` says. Raises CheckError when it does not say it."""
        reading = await self._host.look(self._question, timeout_s=timeout_s)
        result = reading.commands.get("status")
        if result is None:
            raise CheckError(Outcome.TIMED_OUT, f"{self._service.status[0]} was not run in time")
        fact = read_status(result)
        return with_reading(replace(fact, stop_timeout_s=self._service.stop_timeout_s), reading)

    async def start(self, *, timeout_s: float) -> CommandResult:
        """Run `start`; at the time limit it is left alone and its end is unknown."""
        return await self._host.run(self._service.start, timeout_s=timeout_s, abandon=True)

    async def stop(self, *, timeout_s: float) -> CommandResult:
        """Run `stop`; at the time limit its process group is killed."""
        return await self._host.run(self._service.stop, timeout_s=timeout_s)

    async def kill(self, *, timeout_s: float) -> CommandResult:
        """Run `kill`; at the time limit its process group is killed."""
        return await self._host.run(self._service.kill, timeout_s=timeout_s)

    async def restart(self, *, timeout_s: float) -> CommandResult:
        """Run `start`: whoever asks has seen the end of the process."""
        return await self.start(timeout_s=timeout_s)

    def privileged(self) -> tuple[tuple[str, ...], ...]:
        """None: the operator's programs know themselves whom to ask."""
        return ()

    def log(self, lines: int) -> Asked | None:  # noqa: ARG002
        """It keeps no log of which we know."""
        return None

    async def on_host(self, paths: Sequence[str], *, timeout_s: float) -> dict[str, str]:  # noqa: ARG002
        """The operator names the directories as the host knows them."""
        return {path: path for path in paths}


def read_status(result: CommandResult) -> ServiceFact:
    """Return the fact that a run of `status` states. Raises CheckError when it states none."""
    match result.outcome:
        case CommandOutcome.EXITED:
            pass
        case CommandOutcome.TIMED_OUT | CommandOutcome.UNKNOWN:
            raise _error(Outcome.TIMED_OUT, result, "did not answer in time")
        case CommandOutcome.SIGNALLED | CommandOutcome.NOT_STARTED:
            raise _error(Outcome.PROTOCOL, result, "did not run to its end")
    keys = _keys(result.stdout)
    if "state" in keys:
        return _fact_from_keys(keys, result)
    state = _LSB_STATES.get(result.exit_code or 0)
    if state is None:
        said = (
            "says that it does not know" if result.exit_code == _LSB_UNKNOWN else "is no LSB code"
        )
        outcome = Outcome.UNREACHABLE if result.exit_code == _LSB_UNKNOWN else Outcome.PROTOCOL
        raise _error(outcome, result, f"exit code {result.exit_code} {said}")
    active, sub = _ACTIVE_AND_SUB[state]
    # No result, no exit status and no signal: the mind knows by that that nobody says why it
    # ended, and starts it only by a person's approval.
    return ServiceFact(
        active=active,
        sub=sub,
        stop_requested=False,
        pid=0 if state in _ENDED else None,
        unit_file="enabled",
        job="",
        host_lock=False,
    )


def _keys(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _fact_from_keys(keys: dict[str, str], result: CommandResult) -> ServiceFact:
    state = keys["state"]
    if state not in _ACTIVE_AND_SUB:
        known = ", ".join(_ACTIVE_AND_SUB)
        raise _error(Outcome.PROTOCOL, result, f"state={state} is none of: {known}")
    active, sub = _ACTIVE_AND_SUB[state]
    exit_status, signal = _number(keys, "exit_status", result), _signal(keys, result)
    pid = _number(keys, "pid", result)
    return ServiceFact(
        active=active,
        sub=sub,
        result=_ending(state, exit_status, signal),
        exit_status=exit_status,
        signal=signal,
        pid=0 if pid is None and state in _ENDED else pid,
        restarts=_number(keys, "restarts", result),
        unit_file="enabled",
        job="",
        stop_requested=_stop_requested(state, keys.get("stopped_by")),
        host_lock=False,
        invocation=keys.get("invocation"),
    )


def _ending(state: str, exit_status: int | None, signal: int | None) -> str | None:
    if signal is not None:
        return "signal"
    if exit_status is not None:
        return "exit-code" if exit_status else "success"
    return None if state in _ENDED else "success"


def _stop_requested(state: str, stopped_by: str | None) -> bool | None:
    """A stop that anybody but us asked for is on purpose, whatever name stands there."""
    if stopped_by:
        return stopped_by not in _NOBODY
    return False if state in {"running", "starting"} else None


def _number(keys: dict[str, str], key: str, result: CommandResult) -> int | None:
    text = keys.get(key, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise _error(Outcome.PROTOCOL, result, f"{key}={text} is no number") from None


def _signal(keys: dict[str, str], result: CommandResult) -> int | None:
    text = keys.get("signal", "").upper()
    if not text or text.isdecimal():
        return int(text) if text else None
    name = text if text.startswith("SIG") else f"SIG{text}"
    try:
        return int(signals.Signals[name])
    except KeyError:
        raise _error(Outcome.PROTOCOL, result, f"signal={text} is no signal") from None


def _error(outcome: Outcome, result: CommandResult, what: str) -> CheckError:
    said = (result.stderr or result.stdout).strip()[-_SAID:]
    return CheckError(
        outcome, f"status command {result.argv[0]}: {what}" + (f": {said}" if said else "")
    )
