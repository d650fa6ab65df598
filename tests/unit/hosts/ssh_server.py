"""A ssh server on loopback that runs commands in a local shell, and a gate that can go wrong.

The system's own ssh client talks to it through the gate, which passes, holds back (a frozen host, a
dead network) or cuts what goes through.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path

import asyncssh

from kafka_self_healing.model.access import SshAccess

USER = "healer"


class Gate:
    """A TCP door before the server. `logins` counts connections that went through."""

    def __init__(self) -> None:
        self.port = self._inner = 0
        self.connections = 0
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, inner: int) -> None:
        """Pass what comes to `port` on to the port `inner`."""
        self._inner = inner
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def hold(self) -> None:
        """Accept, and let nothing through, like the kernel of a frozen host."""
        self._open.clear()

    def let_go(self) -> None:
        """Let everything through again."""
        self._open.set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def close(self) -> None:
        """Refuse connections from now on, and cut those there are."""
        if self._server is not None:
            self._server.close()
        self.cut()
        self._open.set()
        await asyncio.sleep(0)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        with contextlib.suppress(OSError):
            await self._open.wait()
            there, away = await asyncio.open_connection("127.0.0.1", self._inner)
            self._writers.add(away)
            await asyncio.gather(self._copy(reader, away), self._copy(there, writer))
        writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


class Lets(Enum):
    """Whom the server lets in."""

    OUR_KEY = "our key"
    NOBODY = "nobody"


class World:
    """A server, its gate, and the files of a healer that may log in. `bin` is first in its PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.bin = folder / "bin"
        for made in (folder, self.home, self.bin):
            made.mkdir()
        self.gate = Gate()
        self.logins = 0
        self.sessions: list[str] = []
        self.lets = Lets.OUR_KEY
        self.shell = "/bin/sh"
        self.posix_shell = "/bin/sh"
        self.path = os.environ["PATH"]
        self._processes: set[asyncio.subprocess.Process] = set()
        self._handlers: set[asyncio.Task[object]] = set()
        self._server: asyncssh.SSHAcceptor | None = None
        self._client_key = asyncssh.generate_private_key("ssh-ed25519")
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._client_key.write_private_key(str(folder / "id"))
        (folder / "id").chmod(0o600)

    @property
    def access(self) -> SshAccess:
        """How the healer reaches it."""
        return SshAccess(
            destination="127.0.0.1",
            user=USER,
            port=self.gate.port,
            identity_file=str(self.folder / "id"),
            config_file=str(self.folder / "config"),
            known_hosts_file=str(self.folder / "known_hosts"),
            connect_timeout_s=5.0,
        )

    async def start(self) -> None:
        """Listen, with the host key that was written down before."""
        (self.folder / "config").write_text("# nothing of the operator's\n")
        self._server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[self._host_key],
            server_factory=lambda: _Server(self),
            process_factory=self._run,
            encoding=None,
            allow_scp=False,
        )
        await self.gate.listen(self._server.get_port())
        self.trust()

    def trust(self, key: asyncssh.SSHKey | None = None) -> None:
        """Write the server's key (or another one) into known_hosts."""
        public = (key or self._host_key).export_public_key().decode().strip()
        line = f"[127.0.0.1]:{self.gate.port} {public}\n"
        (self.folder / "known_hosts").write_text(line)

    def program(self, name: str, body: str) -> Path:
        """Put a program of /bin/sh first into the PATH of the host."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    async def stop(self) -> None:
        """End the server and every process that it still has."""
        await self.gate.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        handlers = tuple(self._handlers)
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        for process in tuple(self._processes):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]

    def admits(self, key: asyncssh.SSHKey) -> bool:
        """Return whether a login with this key is let in."""
        ours = key.public_data == self._client_key.public_data
        return ours and self.lets is Lets.OUR_KEY

    async def _run(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run a command as sshd does: by the user's shell, its output on pipes."""
        self.sessions.append(session.command or "")
        path = f"{self.bin}:{self.path}"
        command = (session.command or "").replace("/bin/sh", self.posix_shell)
        process = await asyncio.create_subprocess_exec(
            *(self.shell, "-c", command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": path, "HOME": str(self.home), "SHELL": self.shell},
            start_new_session=True,
        )
        self._processes.add(process)
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        assert process.stdin
        assert process.stdout
        assert process.stderr
        feeding = asyncio.create_task(_feed(session.stdin, process.stdin))
        try:
            # Like sshd: a session ends with its outputs, also if others than the shell hold them.
            await asyncio.gather(
                _copy_out(process.stdout, session.stdout),
                _copy_out(process.stderr, session.stderr),
            )
            session.exit(await process.wait() & 0xFF)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            self._handlers.discard(handler)
            if process.returncode is not None:
                self._processes.discard(process)
                process._transport.close()  # type: ignore[attr-defined]


_GONE = (OSError, asyncssh.Error)


async def _feed(reader: asyncssh.SSHReader[bytes], writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(*_GONE):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _copy_out(reader: asyncio.StreamReader, writer: asyncssh.SSHWriter[bytes]) -> None:
    while data := await reader.read(65536):
        with contextlib.suppress(*_GONE):
            writer.write(data)
            await writer.drain()


class _Server(asyncssh.SSHServer):
    def __init__(self, world: World) -> None:
        self._world = world

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and self._world.admits(key)

    def auth_completed(self) -> None:
        self._world.logins += 1

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool:
        return True  # it is a jump host too


@asynccontextmanager
async def ssh_world(folder: Path) -> AsyncIterator[World]:
    """Run a server for the length of a block."""
    assert shutil.which("ssh"), "these tests need the system's ssh client"
    world = World(folder)
    await world.start()
    try:
        yield world
    finally:
        await world.stop()
