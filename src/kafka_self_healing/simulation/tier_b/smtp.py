"""The mail server of the simulation, and the client that the e-mail channel is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import aiosmtplib

from kafka_self_healing.clock import Clock
from kafka_self_healing.simulation.tier_b.network import never


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail that the server has accepted: when (virtual seconds), and from which process."""

    at: float
    process: int
    id: str


class PostOffice:
    """Accepts mails and keeps them."""

    def __init__(self, clock: Clock, rng: Random) -> None:
        self.clock, self.rng = clock, rng
        self.mails: list[Mail] = []
        self.down = self.hangs = False
        self.up_since = 0.0

    def fail(self, *, hangs: bool) -> None:
        """Refuse connections from now on, or (`hangs`) accept them and say nothing."""
        self.down, self.hangs = True, hangs

    def recover(self) -> None:
        """Work again."""
        self.down = self.hangs = False
        self.up_since = self.clock.now().mono_s

    async def answer(self) -> None:
        """Answer one command of a client. Raises SMTPConnectError."""
        await self.clock.sleep(self.rng.uniform(0.01, 0.1))
        if self.hangs:
            await never()
        if self.down:
            raise aiosmtplib.SMTPConnectError("Connection refused")


class SimSmtp(aiosmtplib.SMTP):
    """The client of one mail: of the real one it has the methods and the errors."""

    def __init__(self, office: PostOffice, process: int, on_sent: Callable[[], bool]) -> None:
        self._office, self._process, self._on_sent = office, process, on_sent

    async def connect(self, **_how: Any) -> aiosmtplib.SMTPResponse:
        """Connect, or not."""
        await self._office.answer()
        return aiosmtplib.SMTPResponse(220, "sim")

    async def send_message(
        self, message: Any, **_how: Any
    ) -> tuple[dict[str, aiosmtplib.SMTPResponse], str]:
        """Have the server accept a mail."""
        await self._office.answer()
        at = self._office.clock.now().mono_s
        self._office.mails.append(Mail(at, self._process, str(message["Message-ID"])))
        if self._on_sent():  # the process died with the server's answer on its way
            await never()
        return {}, "queued"

    async def quit(self, **_how: Any) -> aiosmtplib.SMTPResponse:
        """Say goodbye."""
        return aiosmtplib.SMTPResponse(221, "bye")

    def close(self) -> None:
        """Close the connection."""

    def __del__(self) -> None:
        """There is nothing to close."""
