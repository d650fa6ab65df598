"""Service manager `systemd`: what `systemctl show` says, and whether somebody asked for a stop.

A start waits for systemd's answer, since only that tells of a start limit (exit code 1); the broker
is systemd's child, so nothing is harmed when the waiting ends. A stop does not wait: it is watched.
After a KILL only `restart` is right: systemd may still count the unit as active, and `start` would
then do nothing and return 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts.command import CommandResult
from kafka_self_healing.hosts.host import Asked, Host, Question, Reading
from kafka_self_healing.hosts.privileged import Privileged
from kafka_self_healing.hosts.service import (
    NOT_FOUND,
    elsewhere,
    require_exit,
    said,
    with_reading,
)
from kafka_self_healing.hosts.systemd_journal import (
    JOURNAL_FIELDS,
    JOURNAL_LINES,
    STARTUP_FINISHED,
    read_journal,
    stop_asked,
)
from kafka_self_healing.model.access import SystemdService
from kafka_self_healing.model.evidence import Outcome, ServiceFact

PROPERTIES: Final = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "ExecMainCode", "ExecMainStatus",
    "ExecMainStartTimestampMonotonic", "MainPID", "NRestarts", "UnitFileState", "Job",
    "InvocationID", "StartLimitIntervalUSec", "TimeoutStopUSec", "SuccessExitStatus",
)  # fmt: skip

_ACTS: Final = {
    "start": ("start",),
    "stop": ("--no-block", "stop"),
    "kill": ("kill", "-s", "KILL"),
    "restart": ("restart",),
}
_KINDS: Final = (".service", ".scope", ".target")
_ALIVE: Final = ("ActiveState=active", "ActiveState=activating", "ActiveState=reloading")
_LOADED: Final = frozenset({"loaded", "masked"})
_BOOTING: Final = frozenset({"initializing", "starting"})
_CODES: Final = {"1": "exited", "2": "killed", "3": "dumped"}
_BY_SIGNAL: Final = frozenset({"killed", "dumped"})
_STEP: Final = re.compile(r"(\d+(?:\.\d+)?)(y|month|w|d|h|min|s|ms|us)")
_UNITS: Final = {
    "y": 31557600.0, "month": 2629800.0, "w": 604800.0, "d": 86400.0, "h": 3600.0,
    "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6,
}  # fmt: skip


class SystemdServiceManager:
    """One unit, on the host that is given; `address`: whose host that must be."""

    def __init__(
        self, service: SystemdService, host: Host, data_dirs: tuple[str, ...], address: str
    ) -> None:
        assert not service.unit.startswith("-"), "an option is no unit"
        named = service.unit.endswith(_KINDS)
        self._unit = service.unit if named else f"{service.unit}.service"
        self._host, self._data_dirs, self._address = host, data_dirs, address
        sudo = host.sudo if service.sudo is None else service.sudo
        self._privileged = Privileged(host, address, sudo=sudo)
        self._id = self._unit
        self._invocation = ""

    @property
    def spawns(self) -> bool:
        """What systemd starts is systemd's."""
        return False

    @property
    def restarts(self) -> bool:
        """After a kill `restart` is the only right thing."""
        return True

    async def status(self, *, timeout_s: float) -> ServiceFact:
        """Return the unit's state, its process, and whether a stop was asked for."""
        reading = await self._host.look(self._question(), timeout_s=timeout_s)
        if not reading.here:
            raise elsewhere(self._address, f"unit {self._unit}")
        result = require_exit(reading, "show", "systemctl show")
        keys = dict(line.partition("=")[::2] for line in result.stdout.splitlines())
        if result.exit_code != 0 or "ActiveState" not in keys:
            raise _refusal(result)
        self._id = keys.get("Id") or self._unit
        self._invocation = keys.get("InvocationID", "")
        return with_reading(_fact(keys, _stop_requested(keys, reading)), reading)

    async def start(self, *, timeout_s: float) -> CommandResult:
        """Start the unit and wait for systemd's answer; at the limit the waiting is given up."""
        return await self._act("start", timeout_s, abandon=True)

    async def stop(self, *, timeout_s: float) -> CommandResult:
        """Queue a stop; its end is to be seen in the status."""
        return await self._act("stop", timeout_s)

    async def kill(self, *, timeout_s: float) -> CommandResult:
        """Send SIGKILL to all processes of the unit."""
        return await self._act("kill", timeout_s)

    async def restart(self, *, timeout_s: float) -> CommandResult:
        """Restart the unit and wait for systemd's answer."""
        return await self._act("restart", timeout_s, abandon=True)

    def privileged(self) -> tuple[tuple[str, ...], ...]:
        """The four calls of systemctl."""
        return tuple(("systemctl", *words, self._unit) for words in _ACTS.values())

    def log(self, lines: int) -> Asked | None:
        """Return the journal's last lines, of the run last seen if one was seen."""
        argv = ("journalctl", "-q", "--no-pager", "-b", "-o", "cat", "-n", str(lines))
        if not self._invocation:
            return Asked("log", (*argv, "-u", self._id), lines=lines)
        own = f"_SYSTEMD_INVOCATION_ID={self._invocation}"
        of_systemd = ("_PID=1", f"INVOCATION_ID={self._invocation}")
        return Asked("log", (*argv, own, "+", *of_systemd), lines=lines)

    async def on_host(self, paths: Sequence[str], *, timeout_s: float) -> dict[str, str]:  # noqa: ARG002
        """A unit sees its host's directories."""
        return {path: path for path in paths}

    async def _act(self, verb: str, timeout_s: float, *, abandon: bool = False) -> CommandResult:
        argv = ("systemctl", *_ACTS[verb], self._unit)
        return await self._privileged.run(argv, timeout_s=timeout_s, abandon=abandon)

    def _question(self) -> Question:
        journal = ("journalctl", "-q", "--no-pager", "-b", "-o")
        show = ("systemctl", "show", "--property", ",".join(PROPERTIES), self._unit)
        fields = f"--output-fields={','.join(JOURNAL_FIELDS)}"
        about = ("_PID=1", f"UNIT={self._id}")
        booted = ("_PID=1", *(f"MESSAGE_ID={id_}" for id_ in STARTUP_FINISHED))
        return Question(
            commands=(
                Asked("show", show),
                Asked("system", ("systemctl", "is-system-running"), unless=_ALIVE, lines=1),
                Asked(
                    "journal",
                    (*journal, "json", fields, "-n", str(JOURNAL_LINES), *about),
                    unless=_ALIVE,
                    lines=JOURNAL_LINES,
                ),
                # Silence about the unit means something only where systemd can be heard at all.
                Asked("heard", (*journal, "cat", "-n", "1", "_PID=1"), unless=_ALIVE, lines=1),
                # And only if nothing since the boot has been thrown away.
                Asked("booted", (*journal, "cat", "-n", "1", *booted), unless=_ALIVE, lines=1),
            ),
            pid_key="MainPID",
            locks=self._data_dirs,
            address=self._address,
        )


def _fact(keys: dict[str, str], stop_requested: bool | None) -> ServiceFact:
    load, job = keys.get("LoadState", ""), keys.get("Job", "")
    code = _CODES.get(keys.get("ExecMainCode", ""))
    status = _number(keys, "ExecMainStatus")
    # Of a unit that is not there systemd says "success", as of one that was never started.
    result = keys.get("Result") or None if load in _LOADED else None
    return ServiceFact(
        active=keys["ActiveState"] or None,
        sub=keys.get("SubState") or None,
        result=result,
        exit_status=status if code == "exited" else None,
        signal=status if code in _BY_SIGNAL else None,
        pid=_number(keys, "MainPID"),
        restarts=_number(keys, "NRestarts"),
        unit_file=keys.get("UnitFileState") or load if load == "loaded" else load or NOT_FOUND,
        job=f"job {job}" if job not in {"", "0"} else "",
        stop_requested=stop_requested,
        host_lock=False,
        invocation=keys.get("InvocationID") or None,
        code=code,
        start_limit_s=seconds(keys.get("StartLimitIntervalUSec", "")),
        stop_timeout_s=seconds(keys.get("TimeoutStopUSec", "")),
        success_exit=tuple(keys.get("SuccessExitStatus", "").split()),
        oom_killed=result == "oom-kill" if result is not None else None,
    )


def _stop_requested(keys: dict[str, str], reading: Reading) -> bool | None:
    active, pid = keys["ActiveState"], _number(keys, "MainPID")
    if f"ActiveState={active}" in _ALIVE:
        return False
    system = reading.commands.get("system")
    if system is not None and system.stdout.strip() == "stopping":
        return True
    journal = reading.commands.get("journal")
    lines = journal.stdout if journal is not None and journal.ok else None
    entries = read_journal(lines or "")
    understood = lines is not None and len(entries) == len(lines.splitlines())
    booting = system is not None and system.stdout.strip() in _BOOTING
    since_boot = _says(reading, "heard") and (booting or _says(reading, "booted"))
    asked = stop_asked(entries, keys.get("InvocationID", ""), complete=understood and since_boot)
    # Without a journal: a unit that is on its way down with its main process alive was told to.
    return True if asked is None and active == "deactivating" and pid else asked


def _says(reading: Reading, name: str) -> bool:
    result = reading.commands.get(name)
    return result is not None and result.ok and bool(result.stdout.strip())


def seconds(text: str) -> float | None:
    """Return a time span as systemctl prints it ("1min 30s"); None: infinity, or not understood."""
    steps = text.split()
    found = [_STEP.fullmatch(step) for step in steps]
    if not steps or None in found:
        return 0.0 if text == "0" else None
    return sum(float(one[1]) * _UNITS[one[2]] for one in found if one is not None)


def _number(keys: dict[str, str], key: str) -> int | None:
    text = keys.get(key, "")
    return int(text) if text.isdecimal() else None


def _refusal(result: CommandResult) -> CheckError:
    words = said(result)
    low = words.lower()
    outcome = Outcome.PROTOCOL
    if "timed out" in low:
        outcome = Outcome.TIMED_OUT
    elif "denied" in low or "not permitted" in low:
        outcome = Outcome.AUTHORISATION
    return CheckError(outcome, f"systemctl show ended with exit code {result.exit_code}: {words}")
