"""The registered brokers by kazoo: its session always ends, and its errors become ours."""

from __future__ import annotations

import asyncio
import importlib
import struct
import threading
from collections.abc import Callable

import pytest
from tests.unit.wire.zookeeper_member import HOST, Script, member, registry, sending, silent

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import zookeeper
from kafka_self_healing.wire.zookeeper import Endpoint


async def read(port: int, timeout_s: float = 5.0, chroot: str = "") -> tuple[str, ...]:
    """Read in a thread, as the check does."""
    endpoint = Endpoint(HOST, port)
    ask: Callable[[], tuple[str, ...]] = lambda: zookeeper.registered_brokers(  # noqa: E731
        endpoint, timeout_s=timeout_s, chroot=chroot
    )
    return await asyncio.to_thread(ask)


async def test_ids_are_read_in_order_and_the_session_ends() -> None:
    """The ids come back by number; no thread of kazoo is left."""
    before = threading.active_count()
    async with member(registry(["10", "2", "1"])) as port:
        assert await read(port) == ("1", "2", "10")
        assert threading.active_count() <= before + 1  # to_thread keeps its own


SHORT = b"\0\0\0\x14" + struct.pack(">iqii", 1, 0, 0, 1 << 30)  # a list that is longer than it
OTHER_XID = b"\0\0\0\x10" + bytes(16)
NO_SESSION = "no session of ZooKeeper's"


@pytest.mark.parametrize(
    ("script", "wanted", "said"),
    [
        (registry([], error=-101), zookeeper.ZooKeeperProtocolError, "no /brokers/ids"),
        (registry([], error=-102), zookeeper.ZooKeeperAuthorisationError, "grant our user READ"),
        (registry([], error=-115), zookeeper.ZooKeeperAuthenticationError, "login was refused"),
        (silent, zookeeper.ZooKeeperTimedOutError, "no session"),
        (sending(b""), zookeeper.ZooKeeperTimedOutError, "no session"),
        (registry([], broken=b"\0\0\0\2ab"), zookeeper.ZooKeeperProtocolError, NO_SESSION),
        (
            registry([], broken=OTHER_XID),
            zookeeper.ZooKeeperProtocolError,
            NO_SESSION,
        ),
        (registry([], broken=SHORT), zookeeper.ZooKeeperProtocolError, NO_SESSION),
    ],
)
async def test_each_failure_has_its_class(
    script: Script, wanted: type[zookeeper.ZooKeeperError], said: str
) -> None:
    """A missing node, a missing right, a refused login, silence."""
    async with member(script) as port:
        with pytest.raises(wanted, match=said) as caught:
            await read(port, timeout_s=0.5)
    assert str(caught.value).startswith(f"{HOST}:{port}: ")


async def test_nobody_there() -> None:
    """A refused port is told as such, which kazoo itself does not."""
    async with member(silent) as port:
        pass
    with pytest.raises(zookeeper.ZooKeeperRefusedError):
        await read(port, timeout_s=0.5)


async def test_a_chroot_is_put_before_the_path() -> None:
    """The path of the error is the one that was read."""
    async with member(registry([], error=-101)) as port:
        with pytest.raises(zookeeper.ZooKeeperProtocolError, match="/kafka/brokers/ids"):
            await read(port, chroot="/kafka")


def test_without_kazoo_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is optional; nothing is asked without it."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(zookeeper.ZooKeeperClientMissingError, match=r"\[zookeeper\]") as caught:
        zookeeper.registered_brokers(
            Endpoint(HOST, 1), timeout_s=1.0, username="u", password=Secret("p")
        )
    assert caught.value.outcome == "not_asked"
