"""What docker says of a container: its state and mounts, and whether its end was asked for."""

from __future__ import annotations

import json
import signal as signals
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

EVENT_FORMAT: Final = '{{.TimeNano}} {{.Action}} {{.Actor.ID}} {{index .Actor.Attributes "signal"}}'
NEVER: Final = "0001-01-01T00:00:00Z"

STOP_MARGIN_S: Final = 30.0
"""How much longer than its time a stop that was asked for may still be under way (seconds)."""

LATE_BY: Final = timedelta(seconds=1)
"""How much later than the process docker may say that a container was started."""

_RESTARTING: Final = frozenset({"always", "unless-stopped"})
_ENDED: Final = frozenset({"exited", "dead", "removing"})
_NANO: Final = 1e-9
_ID_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class Container:
    """One container as `docker inspect` shows it. `mounts`: (in the container, on the host).

    `fleeting`: docker removes it when it ends.
    """

    id: str
    status: str
    pid: int
    exit_code: int
    oom_killed: bool
    error: str
    started_at: str
    finished_at: str
    health: str
    restarts: int
    policy: str
    stop_signal: int
    mounts: tuple[tuple[str, str], ...]
    fleeting: bool = False

    @classmethod
    def read(cls, text: str) -> Container:
        """Return what the lines of INSPECT_FORMAT say; what is not understood is empty."""
        keys: dict[str, str] = {}
        mounts: list[tuple[str, str]] = []
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key == "Mount":
                mounts += _mount(value)
            else:
                keys.setdefault(key, value)
        return cls(
            id=keys.get("Id", ""),
            status=keys.get("Status", ""),
            pid=_number(keys.get("Pid", "")),
            exit_code=_number(keys.get("ExitCode", "")),
            oom_killed=keys.get("OOMKilled") == "true",
            error=_text(keys.get("Error", "")),
            started_at=keys.get("StartedAt", ""),
            finished_at=keys.get("FinishedAt", ""),
            health=keys.get("Health", ""),
            restarts=_number(keys.get("RestartCount", "")),
            policy=keys.get("RestartPolicy", ""),
            stop_signal=_signal(keys.get("StopSignal", "")),
            mounts=tuple(mounts),
            fleeting=keys.get("AutoRemove") == "true",
        )

    @property
    def runs(self) -> bool:
        """Whether it has a process."""
        return self.status in {"running", "paused"}

    @property
    def has_ended(self) -> bool:
        """Whether it ran, and does so no more."""
        return self.status in _ENDED

    @property
    def invocation(self) -> str | None:
        """What changes at each start and is kept after the end; None: it was never started."""
        if self.started_at in {"", NEVER}:
            return None
        return f"{self.id[:_ID_LENGTH]}/{self.started_at}"

    @property
    def log_since(self) -> str:
        """From when on the log is that of the last run; empty: it was never started.

        Docker writes down the start when the process runs already, or even has ended: what that
        says first is older.
        """
        started, before = _moment(self.started_at), _moment(self.finished_at)
        if started is None:
            return ""
        since = started - LATE_BY
        if self.runs and before is not None and since < before < started:
            return self.finished_at
        return since.isoformat()

    def on_host(self, path: str) -> str | None:
        """Return where a path of the container is on the host; None: in no mount."""
        best: tuple[str, str] | None = None
        for inside, outside in self.mounts:
            within = path == inside or path.startswith(inside.rstrip("/") + "/")
            if within and (best is None or len(inside) > len(best[0])):
                best = inside, outside
        if best is None or not best[1]:
            return None
        return best[1].rstrip("/") + path[len(best[0].rstrip("/")) :]


@dataclass(frozen=True, slots=True)
class DockerEvent:
    """One event of a container. `signal`: of kill events; None elsewhere."""

    at: float
    action: str
    signal: int | None


def read_events(text: str, container: str) -> tuple[DockerEvent, ...]:
    """Return the events about this container since its last start, oldest first."""
    events: list[DockerEvent] = []
    for line in text.splitlines():
        at, action, actor, *rest = [*line.split(" "), "", "", ""]
        if not at.isdecimal() or actor != container:
            continue
        if action == "start":
            events.clear()
        number = rest[0] if rest else ""
        events.append(DockerEvent(int(at) * _NANO, action, _signal(number) if number else None))
    return tuple(events)


def stop_asked(container: Container, events: Sequence[DockerEvent] | None) -> bool | None:
    """Return whether the end of an ended container was asked for; None: nothing tells.

    The daemon forgets old events, all of them when it is restarted itself. That the `die` is still
    there proves that what came after it is, too. Without it the restart policy may tell: docker
    leaves a container down that it should restart only if it was stopped by hand.
    """
    seen = events or ()
    if any(_is_stop(event, container) for event in seen):
        return True
    if any(event.action == "die" for event in seen):
        return False
    stopped_by_hand = container.policy in _RESTARTING and not container.error
    return True if stopped_by_hand and container.status == "exited" else None


def stop_under_way(
    container: Container, events: Sequence[DockerEvent], now: float, stop_timeout_s: float
) -> bool:
    """Return whether a running container was told to stop and still has time for it."""
    since = now - stop_timeout_s - STOP_MARGIN_S
    return any(
        event.action == "kill" and event.signal == container.stop_signal and event.at >= since
        for event in events
    )


def _is_stop(event: DockerEvent, container: Container) -> bool:
    """`docker kill` counts too: docker itself then takes it for stopped by hand."""
    deadly = {container.stop_signal, signals.SIGKILL, signals.SIGTERM, signals.SIGINT}
    return event.action == "stop" or (event.action == "kill" and event.signal in deadly)


def _mount(text: str) -> list[tuple[str, str]]:
    try:
        inside, end = json.JSONDecoder().raw_decode(text)
        outside, _ = json.JSONDecoder().raw_decode(text, end + 1)
    except ValueError:
        return []
    return [(str(inside), str(outside))]


def _text(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def _moment(text: str) -> datetime | None:
    """Return a time of docker, cut to microseconds; None: never, or nothing that we know."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if text == NEVER or moment.tzinfo is None else moment


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _signal(text: str) -> int:
    """Return the number of a signal: docker says 15, SIGTERM or nothing."""
    if text.isdecimal():
        return int(text)
    try:
        return int(signals.Signals[text if text.startswith("SIG") else f"SIG{text}"])
    except KeyError:
        return int(signals.SIGTERM)
