"""The AdminServer: the same answers as JSON over HTTP or HTTPS, whatever the whitelist says.

It answers 200 even where the JSON holds an error, and 3.8 answers `monitor` without a quorum with
500 and a page of HTML. HTTP/1.0 is spoken, so the answer ends where the connection does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from kafka_self_healing.wire.zookeeper.errors import (
    ZooKeeperAuthorisationError,
    ZooKeeperError,
    ZooKeeperProtocolError,
    ZooKeeperUnsupportedError,
)
from kafka_self_healing.wire.zookeeper.exchange import Endpoint, exchange
from kafka_self_healing.wire.zookeeper.replies import (
    NOT_SERVING,
    READ_ONLY,
    MonitorReply,
    ServerReply,
    mode_of,
    monitor_of,
    number_of,
    version_of,
)

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,9}) *\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_FORBIDDEN = frozenset({401, 403})
_OK = 200
_SAID = 60
_INT64 = 1 << 63


async def admin_ruok(endpoint: Endpoint, *, timeout_s: float) -> bool:
    """Return whether the member says that it serves: more than the word of this name says.

    Raises ZooKeeperError.
    """
    return await _command(endpoint, "ruok", timeout_s) is not None


async def admin_srvr(endpoint: Endpoint, *, timeout_s: float) -> ServerReply:
    """Return what the word `srvr` does. Raises ZooKeeperError."""
    said = await _command(endpoint, "srvr", timeout_s)
    if said is None:
        return ServerReply(serving=False)
    found = said.get("server_stats")
    stats: Mapping[str, object] = found if isinstance(found, dict) else {}
    mode = mode_of(stats.get("server_state"))
    if mode is None:
        raise ZooKeeperProtocolError(
            f"{endpoint.where}: srvr has no server_state; check the AdminServer's port"
        )
    return ServerReply(
        serving=mode != READ_ONLY,
        mode=mode,
        version=version_of(said.get("version")),
        zxid=_whole(stats.get("last_processed_zxid")),
        latency_ms=number_of(stats.get("avg_latency")),
        outstanding=_whole(stats.get("outstanding_requests")),
        connections=_whole(stats.get("num_alive_client_connections")),
        node_count=_whole(said.get("node_count")),
    )


async def admin_monitor(endpoint: Endpoint, *, timeout_s: float) -> MonitorReply:
    """Return what the word `mntr` does. Raises ZooKeeperError."""
    said = await _command(endpoint, "monitor", timeout_s)
    if said is None:
        return MonitorReply(serving=False)
    return monitor_of(said)


async def _command(
    endpoint: Endpoint, command: str, timeout_s: float
) -> Mapping[str, object] | None:
    """Return the JSON of a command; None: the member does not serve. Raises ZooKeeperError."""
    request = f"GET /commands/{command} HTTP/1.0\r\nHost: {endpoint.where}\r\n\r\n"
    answer = await exchange(endpoint, request.encode("ascii", "replace"), timeout_s=timeout_s)
    try:
        return parse_command(command, answer)
    except ZooKeeperError as wrong:
        raise wrong.at(endpoint.where) from None


def parse_command(command: str, answer: bytes) -> Mapping[str, object] | None:
    """Return the JSON in an HTTP answer; None: the member does not serve. Raises ZooKeeperError."""
    status, body = _split(answer)
    if status in _FORBIDDEN:
        raise ZooKeeperAuthorisationError(f"the AdminServer answered {status} to {command}")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise ZooKeeperProtocolError(
            f"the AdminServer answered {status} to {command} without JSON"
            + ("" if status == _OK else "; 3.8 does so while it does not serve")
        ) from None
    if not isinstance(said, dict) or "command" not in said:
        raise ZooKeeperProtocolError(f"{command}: this JSON is not the AdminServer's; check port")
    error = said.get("error")
    if error is None and status == _OK:
        return said
    text = str(error)[:_SAID]
    if text.startswith(NOT_SERVING[:_SAID]):
        return None
    if text.startswith("Unknown command"):
        raise ZooKeeperUnsupportedError(f"the AdminServer does not know {command}")
    raise ZooKeeperProtocolError(f"the AdminServer answered {status} to {command}: {text}")


def _split(answer: bytes) -> tuple[int, bytes]:
    found = _STATUS.match(answer)
    head, blank, body = answer.partition(b"\r\n\r\n")
    if found is None or not blank:
        raise ZooKeeperProtocolError(f"answered {answer[:16]!r}, no HTTP; check admin_port")
    head += b"\r\n"
    length = _LENGTH.search(head)
    if _CHUNKED.search(head) or (length is not None and int(length[1]) > len(body)):
        raise ZooKeeperProtocolError("its HTTP answer is cut off or of another version")
    return int(found[1]), body


def _whole(value: object) -> int | None:
    # Not through a float: a transaction id has 64 bits.
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _INT64
    return value if known and isinstance(value, int) else None
