"""A mail server on loopback that keeps what it gets as `.eml` files: the demo's letter box."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, Final, Self

from kafka_self_healing.clock import boot_seconds
from kafka_self_healing.demo.errors import DemoError

HOST: Final = "127.0.0.1"
_LIMIT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Mail:
    """One letter: when it came (boot-clock seconds), its subject and text, where it is kept."""

    at: float
    subject: str
    text: str
    file: Path


class Mailbox:
    """Runs the server in a thread of its own. `port` is chosen by the kernel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mails: deque[Mail] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="demo-mailbox", daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        """Open the box. Raises DemoError if no server can be made."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        self._ready.wait(_LIMIT_S)
        if self._failure or not self.port:
            raise DemoError(f"the demo's mail server does not start: {self._failure}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(_LIMIT_S)

    @property
    def mails(self) -> list[Mail]:
        """All letters so far, oldest first."""
        return list(self._mails)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep a letter (the server's own name for what it calls)."""
        letter = message_from_bytes(envelope.content, policy=policy.default)
        file = self._folder / f"{len(self._mails) + 1:03}.eml"
        file.write_bytes(envelope.content)
        body = letter.get_body(("plain",))
        text = body.get_content() if body is not None else ""
        self._mails.append(Mail(boot_seconds(), str(letter["subject"]), text, file))
        return "250 kept"

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except ImportError:
            self._failure = "pip install 'kafka-self-healing[demo]'"
        except OSError as failure:
            self._failure = str(failure)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from aiosmtpd.smtp import SMTP

        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        server = await self._loop.create_server(
            lambda: SMTP(self, loop=self._loop, hostname="demo.localhost"), HOST, 0
        )
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        try:
            await self._ended.wait()
        finally:
            server.close()
