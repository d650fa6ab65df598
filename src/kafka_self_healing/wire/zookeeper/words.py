"""Four-letter words: one question and one answer a connection, over plain TCP, TLS or mTLS.

Only words that read are known here, so nothing can be reset or killed by mistake. What the member
answers is a text, and so is a refusal: "… is not executed because it is not in the whitelist."
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kafka_self_healing.wire.zookeeper.errors import ZooKeeperError
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
    answer = await exchange(endpoint, word.encode("ascii"), timeout_s=timeout_s, nudge=_NUDGE)
    return answer.decode("utf-8", errors="replace")


def _placed(endpoint: Endpoint, parse: Callable[[], T]) -> T:
    """Parse, and name the place in what is wrong."""
    try:
        return parse()
    except ZooKeeperError as wrong:
        raise wrong.at(endpoint.where) from None
