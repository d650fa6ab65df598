"""Four-letter words: one question and one answer a connection, over plain TCP, TLS or mTLS.

Only words that read are known here, so nothing can be reset or killed by mistake. What the member
answers is a text, and so is a refusal: "… is not executed because it is not in the whitelist."
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kafka_self_healing.wire.zookeeper.errors import (
    ZooKeeperClosedError,
    ZooKeeperError,
    ZooKeeperResetError,
    ZooKeeperTlsError,
)
from kafka_self_healing.wire.zookeeper.exchange import Endpoint, exchange
from kafka_self_healing.wire.zookeeper.replies import (
    ConfReply,
    MonitorReply,
    ServerReply,
    parse_conf,
    parse_mntr,
    parse_ruok,
    parse_srvr,
    parse_stat,
)

T = TypeVar("T")

_NUDGE = b"\n"  # what `echo srvr | nc` sends too: every member takes it
_SECOND_LOOK_S = 1.0


async def ruok(endpoint: Endpoint, *, timeout_s: float) -> bool:
    """Return whether it says `imok`: also a member without a quorum does. Raises ZooKeeperError."""
    text = await _ask(endpoint, "ruok", timeout_s)
    return _placed(endpoint, lambda: parse_ruok(text))


async def srvr(endpoint: Endpoint, *, timeout_s: float) -> ServerReply:
    """Return mode, version and last transaction. Raises ZooKeeperError."""
    text = await _ask(endpoint, "srvr", timeout_s)
    return _placed(endpoint, lambda: parse_srvr(text))


async def stat(endpoint: Endpoint, *, timeout_s: float) -> ServerReply:
    """Return what `srvr` does, and how many clients there are. Raises ZooKeeperError."""
    text = await _ask(endpoint, "stat", timeout_s)
    return _placed(endpoint, lambda: parse_stat(text))


async def mntr(endpoint: Endpoint, *, timeout_s: float) -> MonitorReply:
    """Return the member's numbers. Raises ZooKeeperError."""
    text = await _ask(endpoint, "mntr", timeout_s)
    return _placed(endpoint, lambda: parse_mntr(text))


async def conf(endpoint: Endpoint, *, timeout_s: float) -> ConfReply:
    """Return its configuration: its id and the ensemble. Raises ZooKeeperError."""
    text = await _ask(endpoint, "conf", timeout_s)
    return _placed(endpoint, lambda: parse_conf(text))


async def _ask(endpoint: Endpoint, word: str, timeout_s: float) -> str:
    request = word.encode("ascii")
    try:
        answer = await exchange(endpoint, request, timeout_s=timeout_s, nudge=_NUDGE)
    except (ZooKeeperClosedError, ZooKeeperResetError) as cut:
        if endpoint.tls is None:
            raise
        raise await _tls_after_all(endpoint, request) or cut from None
    return answer.decode("utf-8", errors="replace")


async def _tls_after_all(endpoint: Endpoint, request: bytes) -> ZooKeeperTlsError | None:
    """Return the error that says so if TLS is why a connection was cut; a dying process cuts too.

    The alert of a member that wants our certificate is lost when our word crosses it: a connection
    on which nothing is sent shows it. A port without TLS answers the word in plain text.
    """
    try:
        await exchange(endpoint, b"", timeout_s=_SECOND_LOOK_S)
    except ZooKeeperTlsError as told:
        return told
    except ZooKeeperError:
        pass  # as before; now the other question
    plain = Endpoint(endpoint.host, endpoint.port)
    try:
        await exchange(plain, request, timeout_s=_SECOND_LOOK_S)
    except ZooKeeperError:
        return None
    return ZooKeeperTlsError(
        f"{endpoint.where}: this port speaks no TLS, it answers in plain text; remove tls"
    )


def _placed(endpoint: Endpoint, parse: Callable[[], T]) -> T:
    """Parse, and name the place in what is wrong."""
    try:
        return parse()
    except ZooKeeperError as wrong:
        raise wrong.at(endpoint.where) from None
