"""`speak` and `streams`: hand a connected socket over to asyncio; given up, nothing stays open."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)


async def speak(
    plain: socket.socket,
    protocol: Callable[[], _Protocol],
    *,
    context: ssl.SSLContext | None = None,
    name: str | None = None,
    handshake_s: float | None = None,
) -> tuple[asyncio.Transport, _Protocol]:
    """Have a protocol speak over `plain`, which is its own from now on; wait for TLS's handshake.

    `name`: what the peer's certificate is to bear, if there is a `context`. Raises OSError.
    """
    is_asyncios = False

    def made() -> _Protocol:
        nonlocal is_asyncios
        is_asyncios = True
        return protocol()

    try:
        return await asyncio.get_running_loop().create_connection(
            made,
            sock=plain,
            ssl=context,
            server_hostname=name if context is not None else None,
            ssl_handshake_timeout=handshake_s if context is not None else None,
        )
    except BaseException:
        # What is given up before TLS has begun asyncio forgets, and opens nevertheless; from what
        # has just been agreed it takes leave, for half a minute. Neither outlives a socket that is
        # shut down. It must not be closed here: its number would stay in the event loop, and the
        # next connection of that number would be deaf.
        if is_asyncios:
            with contextlib.suppress(OSError):
                plain.shutdown(socket.SHUT_RDWR)
        else:
            plain.close()
        raise


async def streams(
    plain: socket.socket, *, context: ssl.SSLContext | None = None, name: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Speak over `plain` by streams, as `asyncio.open_connection` does. Raises OSError."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    transport, protocol = await speak(
        plain,
        lambda: asyncio.StreamReaderProtocol(reader, loop=loop),
        context=context,
        name=name,
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
