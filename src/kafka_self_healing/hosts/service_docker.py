"""Service manager `docker`: one container, by the `docker` program on the node's host.

The daemon's events tell whether a stop was asked for: `docker stop` and `docker kill` leave a
`kill` event before the `die` of the container, a process that dies by itself does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts.command import CommandResult
from kafka_self_healing.hosts.docker_events import (
    EVENT_FORMAT,
    Container,
    read_events,
    stop_asked,
    stop_under_way,
)
from kafka_self_healing.hosts.host import Asked, Host, Question, Reading
from kafka_self_healing.hosts.privileged import Privileged
from kafka_self_healing.hosts.remote_look import SHELL_SIGNAL
from kafka_self_healing.hosts.service import (
    NOT_FOUND,
    elsewhere,
    require_exit,
    said,
    with_reading,
)
from kafka_self_healing.model.access import DockerService
from kafka_self_healing.model.evidence import Outcome, ServiceFact

INSPECT_FORMAT: Final = "\n".join(
    (
        "Id={{.ID}}",
        "Status={{.State.Status}}",
        "Pid={{.State.Pid}}",
        "ExitCode={{.State.ExitCode}}",
        "OOMKilled={{.State.OOMKilled}}",
        "Error={{json .State.Error}}",
        "StartedAt={{.State.StartedAt}}",
        "FinishedAt={{.State.FinishedAt}}",
        "Health={{if .State.Health}}{{.State.Health.Status}}{{end}}",
        "RestartCount={{.RestartCount}}",
        "RestartPolicy={{.HostConfig.RestartPolicy.Name}}",
        "StopSignal={{.Config.StopSignal}}",
        "AutoRemove={{.HostConfig.AutoRemove}}",
        '{{range .Mounts}}Mount={{json .Destination}} {{json .Source}}{{"\\n"}}{{end}}',
    )
)
UNTIL_NOW: Final = (
    't=$(date +%s.%N); case $t in *N) t=$(($(date +%s) + 1)) ;; esac; exec "$@" --until "$t"'
)
"""Docker cuts a relative time to whole seconds, and the youngest events are what matters."""

EVENTS: Final = 100
"""How many events are read; the daemon keeps the last 256 of all its containers."""

_STATES: Final = {
    "running": ("active", "running"),
    "paused": ("active", "paused"),
    "restarting": ("activating", "auto-restart"),
    "created": ("inactive", "dead"),
}
_WORK: Final = {"paused": "paused by docker", "removing": "being removed by docker"}
_FLEETING: Final = "docker removes it at its end, with volumes that have no name (--rm)"
_NO_SUCH: Final = re.compile(r"no such (container|object)\b", re.IGNORECASE)
"""Not any `no such`: a socket or a name that is not there says nothing of the container."""

_NO_DAEMON: Final = (
    "cannot connect to the docker daemon", "is the docker daemon running",
    "failed to connect to the docker api", "error during connect",
)  # fmt: skip
_SIGTERM_EXIT: Final = 143  # a JVM's own exit code after SIGTERM, no death by a signal
_LAST_SIGNAL: Final = 64


class DockerServiceManager:
    """One container. `address`: whose host it must be on, unless the endpoint is elsewhere."""

    def __init__(
        self,
        service: DockerService,
        host: Host,
        data_dirs: tuple[str, ...],
        address: str,
        clock: Clock,
    ) -> None:
        self._service, self._host, self._clock = service, host, clock
        endpoint = service.endpoint
        self._docker = (service.program, *(("--host", endpoint) if endpoint else ()))
        self._remote = endpoint is not None and not endpoint.startswith("unix:")
        self._address = None if self._remote else address
        self._data_dirs = () if self._remote else data_dirs
        self._privileged = Privileged(host, self._address, sudo=host.sudo)
        self._last: Container | None = None

    @property
    def spawns(self) -> bool:
        """What docker starts is docker's."""
        return False

    @property
    def restarts(self) -> bool:
        """`docker kill` waits for the end, and `docker restart` starts what has ended."""
        return True

    async def status(self, *, timeout_s: float) -> ServiceFact:
        """Return the container's state, its process, and whether a stop was asked for.

        One round trip, and a second one when the container is another than at the last look: only
        docker knows where its directories are.
        """
        deadline = self._clock.now().mono_s + timeout_s
        known = self._last
        reading = await self._look(timeout_s)
        container = self._container(reading)
        if container is None:
            return _absent()
        moved = known is None or known.id != container.id or known.mounts != container.mounts
        if moved and self._data_dirs:
            left_s = max(0.0, deadline - self._clock.now().mono_s)
            reading = await self._look(left_s)
            container = self._container(reading)
            if container is None:
                return _absent()
        fact = _fact(container, reading, self._now_there(reading), self._service.stop_timeout_s)
        fact = with_reading(fact, reading)
        if container.status == "paused":
            # The freezer shows as D, which a hung disk would, too.
            fact = replace(fact, process_state="T")
        return self._with_locks(fact, container)

    async def start(self, *, timeout_s: float) -> CommandResult:
        """Start the container."""
        return await self._act("start", timeout_s, abandon=True)

    async def stop(self, *, timeout_s: float) -> CommandResult:
        """Have docker stop it: SIGTERM, and SIGKILL after the configured time."""
        return await self._act("stop", timeout_s)

    async def kill(self, *, timeout_s: float) -> CommandResult:
        """Kill it at once."""
        return await self._act("kill", timeout_s)

    async def restart(self, *, timeout_s: float) -> CommandResult:
        """Restart it, without waiting for an end that was forced already."""
        return await self._act("restart", timeout_s, abandon=True)

    def privileged(self) -> tuple[tuple[str, ...], ...]:
        """The four calls of docker."""
        return tuple(self._argv(verb) for verb in ("start", "stop", "kill", "restart"))

    def log(self, lines: int) -> Asked | None:
        """Return the container's last log lines, of its last run if one was seen."""
        since = self._last.log_since if self._last is not None else ""
        only = ("--since", since) if since else ()
        argv = (*self._docker, "logs", "--tail", str(lines), *only, self._service.container)
        return Asked("log", argv, lines=lines, merged=True)

    async def on_host(self, paths: Sequence[str], *, timeout_s: float) -> dict[str, str]:
        """Return where volumes and bind mounts are on the host. What is in none is left out."""
        if self._last is None and not self._remote:
            self._container(await self._look(timeout_s))
        if self._last is None or self._remote:
            return {}
        found = {path: self._last.on_host(path) for path in paths}
        return {path: there for path, there in found.items() if there is not None}

    def _argv(self, verb: str) -> tuple[str, ...]:
        wait = {"stop": round(self._service.stop_timeout_s), "restart": 0}.get(verb)
        options = () if wait is None else ("-t", str(wait))
        return (*self._docker, verb, *options, self._service.container)

    async def _act(self, verb: str, timeout_s: float, *, abandon: bool = False) -> CommandResult:
        return await self._privileged.run(self._argv(verb), timeout_s=timeout_s, abandon=abandon)

    async def _look(self, timeout_s: float) -> Reading:
        name = self._service.container
        inspect = ("inspect", "--type", "container", "--format", INSPECT_FORMAT, name)
        about = ("--filter", "type=container", "--filter", f"container={name}")
        events = (*self._docker, "events", "--since", "720h", "--format", EVENT_FORMAT, *about)
        locks = tuple(
            there
            for path in self._data_dirs
            if self._last is not None and (there := self._last.on_host(path)) is not None
        )
        question = Question(
            commands=(
                Asked("inspect", (*self._docker, *inspect)),
                Asked("events", ("sh", "-c", UNTIL_NOW, "sh", *events), lines=EVENTS),
            ),
            pid_key="" if self._remote else "Pid",
            locks=locks,
            address=self._address,
        )
        reading = await self._host.look(question, timeout_s=timeout_s)
        if not reading.here:
            raise elsewhere(self._address or "", f"container {name}")
        return reading

    def _container(self, reading: Reading) -> Container | None:
        """Return what docker says, and remember it; None: there is no such container."""
        result = require_exit(reading, "inspect", "docker inspect")
        if result.exit_code != 0:
            if _NO_SUCH.search(result.stderr):
                self._last = None
                return None
            raise _refusal(result)
        self._last = Container.read(result.stdout)
        return self._last

    def _now_there(self, reading: Reading) -> float:
        return self._clock.now().utc_s + (reading.clock_offset_s or 0.0)

    def _with_locks(self, fact: ServiceFact, container: Container) -> ServiceFact:
        """A directory that only the container has is held by nobody once it has ended."""
        mounted = [path for path in self._data_dirs if container.on_host(path) is not None]
        if self._data_dirs and not mounted and not container.runs:
            return replace(fact, lock_held=False)
        return fact


def _absent() -> ServiceFact:
    return ServiceFact(
        active="inactive",
        sub="dead",
        pid=0,
        unit_file=NOT_FOUND,
        job="",
        stop_requested=False,
        tracer_pid=0,
        host_lock=False,
    )


def _fact(container: Container, reading: Reading, now: float, stop_timeout_s: float) -> ServiceFact:
    events_said = reading.commands.get("events")
    events = read_events(events_said.stdout, container.id) if events_said else None
    if events_said is None or not events_said.ok:
        events = None
    active, sub = _STATES.get(container.status, ("inactive", "dead"))
    exit_status = signal = code = result = None
    asked = stop_asked(container, events) if container.has_ended else False
    if container.has_ended:
        exit_status, code = container.exit_code, "exited"
        result = "exit-code" if exit_status else "success"
        number = exit_status - SHELL_SIGNAL
        if exit_status != _SIGTERM_EXIT and 0 < number <= _LAST_SIGNAL:
            signal, code, result = number, "killed", "signal"
        if container.oom_killed:
            result = "oom-kill"
        if exit_status:
            active = sub = "failed"
    elif container.runs and events and stop_under_way(container, events, now, stop_timeout_s):
        active, sub, asked = "deactivating", "stop-sigterm", True
    return ServiceFact(
        active=active,
        sub=sub,
        result=result,
        exit_status=exit_status,
        signal=signal,
        pid=container.pid,
        restarts=container.restarts,
        unit_file="enabled",
        # A restart would lose the container, and its data.
        job=_WORK.get(container.status, _FLEETING if container.fleeting else ""),
        stop_requested=asked,
        host_lock=False,
        invocation=container.invocation,
        code=code,
        stop_timeout_s=stop_timeout_s,
        oom_killed=container.oom_killed,
        health=container.health or None,
    )


def _refusal(result: CommandResult) -> CheckError:
    words = said(result)
    low = words.lower()
    outcome = Outcome.PROTOCOL
    if "permission denied" in low:
        outcome = Outcome.AUTHORISATION
    elif any(word in low for word in _NO_DAEMON):
        outcome = Outcome.UNREACHABLE
    return CheckError(outcome, f"docker inspect ended with exit code {result.exit_code}: {words}")
