"""What four-letter words answer, parsed. An absent line is None, and so is a broken number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kafka_self_healing.wire.zookeeper.errors import (
    ZooKeeperError,
    ZooKeeperNotWhitelistedError,
    ZooKeeperProtocolError,
)

NOT_SERVING = "This ZooKeeper instance is not currently serving requests"
"""The answer of a member without a quorum, to all words but ruok and isro."""

READ_ONLY = "read-only"
"""The mode of a member that was cut off and serves old data (`readonlymode.enabled`)."""

_REFUSED = re.compile(r"\w{4} is not executed because it is not in the whitelist\.")
_MODES = frozenset({"leader", "follower", "observer", "standalone", READ_ONLY})
_EPOCH_SHIFT = 32
_SAID = 60
_MOST_DIGITS = 32


@dataclass(frozen=True, slots=True)
class ServerReply:
    """The answer to `srvr` and `stat`. Latencies in milliseconds since the start or last reset.

    `serving` False: it has no quorum, and the rest is None. `clients`: of `stat` only.
    """

    serving: bool
    mode: str | None = None
    version: str | None = None
    zxid: int | None = None
    latency_ms: float | None = None
    outstanding: int | None = None
    connections: int | None = None
    node_count: int | None = None
    clients: int | None = None

    @property
    def epoch(self) -> int | None:
        """How many leaders there have been, of which the last transaction tells."""
        return None if self.zxid is None else self.zxid >> _EPOCH_SHIFT


@dataclass(frozen=True, slots=True)
class MonitorReply:
    """The answer to `mntr` or the AdminServer's `monitor`: all numbers, without `zk_`.

    `serving` False: it has no quorum, and nothing else is known.
    """

    serving: bool
    mode: str | None = None
    version: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    def whole(self, name: str) -> int | None:
        """Return a value as a whole number; None: it is not there. -1 stands for "none" there."""
        value = self.values.get(name)
        return None if value is None or value < 0 else int(value)


@dataclass(frozen=True, slots=True)
class ConfReply:
    """The answer to `conf`. `members`: `server.N=…` lines as `(N, the rest)`."""

    serving: bool
    server_id: int | None = None
    members: tuple[tuple[int, str], ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)


def parse_ruok(text: str) -> bool:
    """Return whether it said `imok`, which proves that the process runs and no more.

    Raises ZooKeeperError.
    """
    said = _examined("ruok", text).strip()
    if said == "imok":
        return True
    if said.startswith(NOT_SERVING):
        return False
    raise _no_answer("ruok", text)


def parse_srvr(text: str, *, word: str = "srvr") -> ServerReply:
    """Return the answer to `srvr`. Raises ZooKeeperError."""
    said = _examined(word, text)
    if said.startswith(NOT_SERVING):
        return ServerReply(serving=False)
    lines = _lines(said, ": ")
    mode = lines.get("Mode")
    if mode not in _MODES:
        raise _no_answer(word, text)
    return ServerReply(
        serving=mode != READ_ONLY,
        mode=mode,
        version=_version(lines.get("Zookeeper version")),
        zxid=_hex(lines.get("Zxid")),
        latency_ms=_average(lines.get("Latency min/avg/max")),
        outstanding=_whole(lines.get("Outstanding")),
        connections=_whole(lines.get("Connections")),
        node_count=_whole(lines.get("Node count")),
    )


def parse_stat(text: str) -> ServerReply:
    """Return the answer to `stat`: that to `srvr`, and how many clients. Raises ZooKeeperError."""
    reply = parse_srvr(text, word="stat")
    if not reply.serving and reply.mode is None:
        return reply
    clients = sum(line.startswith(" /") for line in text.splitlines())
    return ServerReply(
        serving=reply.serving,
        mode=reply.mode,
        version=reply.version,
        zxid=reply.zxid,
        latency_ms=reply.latency_ms,
        outstanding=reply.outstanding,
        connections=reply.connections,
        node_count=reply.node_count,
        clients=clients,
    )


def parse_mntr(text: str) -> MonitorReply:
    """Return the answer to `mntr`. Raises ZooKeeperError."""
    said = _examined("mntr", text)
    if said.startswith(NOT_SERVING):
        return MonitorReply(serving=False)
    lines = {
        key.removeprefix("zk_"): value
        for key, value in _lines(said, "\t").items()
        if key.startswith("zk_")
    }
    if "server_state" not in lines and "version" not in lines:
        raise _no_answer("mntr", text)
    return monitor_of(lines)


def monitor_of(values: Mapping[str, object]) -> MonitorReply:
    """Return a MonitorReply of names and values, as `mntr` and the AdminServer have them."""
    mode = values.get("server_state")
    known = mode if isinstance(mode, str) and mode in _MODES else None
    version = values.get("version")
    numbers = {name: number_of(value) for name, value in values.items()}
    return MonitorReply(
        serving=known != READ_ONLY,
        mode=known,
        version=_version(version) if isinstance(version, str) else None,
        values={name: number for name, number in numbers.items() if number is not None},
    )


def parse_conf(text: str) -> ConfReply:
    """Return the answer to `conf`. Raises ZooKeeperError."""
    said = _examined("conf", text)
    if said.startswith(NOT_SERVING):
        return ConfReply(serving=False)
    values = _lines(said, "=")
    if "clientPort" not in values and "secureClientPort" not in values:
        raise _no_answer("conf", text)
    members = []
    for key, value in values.items():
        number = _whole(key.removeprefix("server.")) if key.startswith("server.") else None
        if number is not None:
            members.append((number, value))
    return ConfReply(
        serving=True,
        server_id=_whole(values.get("serverId")),
        members=tuple(members),
        values=values,
    )


def number_of(value: object) -> float | None:
    """Return a finite number, of a number or of its text; None: it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and len(value) > _MOST_DIGITS:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def mode_of(value: object) -> str | None:
    """Return a mode that is one of ZooKeeper's; None: it is none."""
    return value if isinstance(value, str) and value in _MODES else None


def version_of(value: object) -> str | None:
    """Return the bare version number of a version text."""
    return _version(value) if isinstance(value, str) else None


def _examined(word: str, text: str) -> str:
    if _REFUSED.match(text):
        raise ZooKeeperNotWhitelistedError(
            f"{word} is not in the member's whitelist; add it to 4lw.commands.whitelist in zoo.cfg"
        )
    return text


def _no_answer(word: str, text: str) -> ZooKeeperError:
    head = text[:_SAID]
    if text.startswith("HTTP/"):
        return ZooKeeperProtocolError("answered in HTTP; this is not the client port")
    return ZooKeeperProtocolError(f"{word} was answered with {head!r}; check the port")


def _lines(text: str, between: str) -> dict[str, str]:
    pairs = (line.partition(between) for line in text.splitlines())
    return {key.strip(): value.strip() for key, found, value in pairs if found}


def _version(text: str | None) -> str | None:
    """`3.8.4-9316c2a…, built on 2024-02-12 22:16 UTC` is 3.8.4."""
    found = re.match(r"\d{1,4}(?:\.\d{1,4}){1,3}", text or "")
    return found.group() if found else None


def _average(text: str | None) -> float | None:
    parts = (text or "").split("/")
    return number_of(parts[1]) if len(parts) == 3 else None


def _whole(text: str | None) -> int | None:
    number = number_of(text) if text is not None else None
    return None if number is None or number != int(number) else int(number)


def _hex(text: str | None) -> int | None:
    found = re.fullmatch(r"0x([0-9a-fA-F]{1,16})", text or "")
    return int(found.group(1), 16) if found else None
