"""Names with several addresses: each is tried for its share, and a refusal says most."""

from __future__ import annotations

import asyncio
import socket

import pytest

from kafka_self_healing.wire import names

HOST = "127.0.0.1"


async def connect(monkeypatch: pytest.MonkeyPatch, tries: dict[str, object]) -> socket.socket:
    """Connect to a name with these addresses: each refuses, hangs, or accepts."""

    async def addresses(host: str, port: int) -> list[str]:
        return list(tries)

    async def reach(address: str, port: int) -> socket.socket:
        told = tries[address]
        if isinstance(told, OSError):
            raise told
        if told is None:
            await asyncio.Event().wait()
        return socket.socket()

    monkeypatch.setattr(names, "addresses_of", addresses)
    monkeypatch.setattr(names, "tcp_socket", reach)
    return await names.socket_to("many.test", 1, timeout_s=0.3)


async def test_address_that_hangs_leaves_the_next_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second address is reached although the first never answers."""
    (await connect(monkeypatch, {"a": None, "b": "accepts"})).close()


async def test_refusal_says_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several failures the refusal is told, wherever it stood."""
    refused = ConnectionRefusedError(111, "refused")
    with pytest.raises(ConnectionRefusedError):
        await connect(monkeypatch, {"a": refused, "b": None, "c": OSError(113, "no route")})


async def test_last_failure_is_told_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a refusal it is the last that is told, a silence included."""
    with pytest.raises(TimeoutError):
        await connect(monkeypatch, {"a": OSError(113, "no route"), "b": None})


async def test_real_port() -> None:
    """An address is its own name; a closed port refuses."""
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
        (await names.socket_to(HOST, port, timeout_s=5.0)).close()
    with pytest.raises(ConnectionRefusedError):
        await names.socket_to(HOST, port, timeout_s=5.0)
