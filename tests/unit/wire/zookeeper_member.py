"""A scripted member on loopback, and the answers that a real one (3.8.4) gave."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

ANSWERS = Path(__file__).parent / "zookeeper_answers"
HOST = "127.0.0.1"
GET_CHILDREN = 8
CLOSE = -11
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def recorded(name: str) -> bytes:
    """Return what a real member answered."""
    return (ANSWERS / name).read_bytes()


@contextlib.asynccontextmanager
async def member(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve `script` to each connection; yields the port."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await script(reader, writer)
                await writer.drain()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


def answering(words: Mapping[str, bytes]) -> Script:
    """Return a script that answers four-letter words, and refuses those that it does not have."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = (await reader.readexactly(4)).decode()
        refusal = f"{word} is not executed because it is not in the whitelist.\n".encode()
        writer.write(words.get(word, refusal))

    return script


def admin_answering(commands: Mapping[str, bytes]) -> Script:
    """Return a script of an AdminServer: whole HTTP answers by command."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        command = head.split(" ")[1].rpartition("/")[2]
        writer.write(commands.get(command, recorded("admin-unknown")))

    return script


def sending(data: bytes, *, linger: bool = False) -> Script:
    """Return a script that sends `data` to whatever it is asked, and may then stay silent."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(data)
        await writer.drain()
        if linger:
            await asyncio.Event().wait()

    return script


async def tls_listener(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait for the five bytes of a record header, as netty does, and close: it was no TLS."""
    await reader.readexactly(5)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept and say nothing, as a frozen process does."""
    await asyncio.Event().wait()


def registry(ids: list[str], *, error: int = 0, broken: bytes = b"") -> Script:
    """Return a script of the client protocol: a session, one list of children, an end.

    `broken`: a frame that is sent instead of the list.
    """

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _frame(reader)
        session = struct.pack(">iiqi16s?", 0, 10_000, 1, 16, bytes(16), False)
        writer.write(len(session).to_bytes(4, "big") + session)
        while True:
            xid, kind = struct.unpack(">ii", (await _frame(reader))[:8])
            names = b"".join(len(i).to_bytes(4, "big") + i.encode() for i in ids)
            if broken and kind == GET_CHILDREN:
                writer.write(broken)
                continue
            body = (
                len(ids).to_bytes(4, "big") + names if kind == GET_CHILDREN and not error else b""
            )
            reply = struct.pack(">iqi", xid, 0, error if kind == GET_CHILDREN else 0) + body
            writer.write(len(reply).to_bytes(4, "big") + reply)
            if kind == CLOSE:
                return

    return script


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
