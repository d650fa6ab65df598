"""Logins: what they have in common, how one is carried out, and the two simplest of them."""

from __future__ import annotations

import abc
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, Protocol

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.kafka.errors import (
    KafkaAuthenticationError,
    KafkaSetupError,
    KafkaWireError,
)
from kafka_self_healing.wire.kafka.request import ReplyT, Request
from kafka_self_healing.wire.kafka.sasl_requests import (
    ILLEGAL_SASL_STATE,
    UNSUPPORTED_MECHANISM,
    AuthenticateReply,
    SaslAuthenticate,
    SaslHandshake,
)

MAX_ROUNDS: Final = 8
"""Messages of one login at most; Kerberos, the longest, takes four."""

_TOKEN: Final = re.compile(r"[-a-zA-Z0-9._~+/]+=*")  # RFC 6750
_KVSEP: Final = "\x01"
_SAID: Final = 300

Conversation = AsyncGenerator[bytes, bytes]
"""Yields our messages, is sent the node's, and ends when the node has proved what it must."""


class SaslLogin(abc.ABC):
    """Who we are and how we prove it. One object serves many connections, one after another."""

    mechanism: str

    @abc.abstractmethod
    def converse(self, host: str) -> Conversation:
        """Begin a login at `host`. The conversation raises KafkaWireError (without an address)."""

    @abc.abstractmethod
    def refused(self, messages: int) -> str:
        """Take note that the node refused our message number `messages`; return what to do."""


class Ask(Protocol):
    """How a login sends its requests."""

    def __call__(self, request: Request[ReplyT]) -> Awaitable[ReplyT]:
        """Send `request` and wait for its reply."""


async def authenticate(ask: Ask, login: SaslLogin, host: str) -> float | None:
    """Log in and return for how many seconds it holds; None: without end.

    Raises KafkaAuthenticationError when the node refuses; it closes the connection then.
    """
    handshake = await ask(SaslHandshake(login.mechanism))
    if handshake.error:
        raise handshake_error(login.mechanism, handshake.error, handshake.mechanisms)
    async with aclosing(login.converse(host)) as conversation:
        message = await anext(conversation)
        for number in range(1, MAX_ROUNDS + 1):
            reply = await ask(SaslAuthenticate(message))
            if reply.error:
                raise _refusal(login, number, reply)
            try:
                message = await conversation.asend(reply.data)
            except StopAsyncIteration:
                lifetime_ms = reply.lifetime_ms or 0
                return lifetime_ms / 1000 if lifetime_ms > 0 else None
    raise KafkaAuthenticationError(
        f"{login.mechanism}: no end after {MAX_ROUNDS} messages; look at the node's log"
    )


def handshake_error(wanted: str, error: int, offered: tuple[str, ...]) -> KafkaWireError:
    """Say why a node does not take the mechanism `wanted`."""
    if error == ILLEGAL_SASL_STATE:
        return KafkaAuthenticationError(
            "this listener takes no login; remove sasl, or correct the port"
        )
    if error == UNSUPPORTED_MECHANISM:
        return KafkaAuthenticationError(
            f"this listener does not take {wanted}; it takes {', '.join(offered) or 'none'}: "
            "set sasl.mechanism to one of them"
        )
    return KafkaAuthenticationError(f"SaslHandshake answered error {error}; look at the node's log")


def _refusal(login: SaslLogin, number: int, reply: AuthenticateReply) -> KafkaWireError:
    if reply.error == ILLEGAL_SASL_STATE:
        return handshake_error(login.mechanism, reply.error, ())
    said = (reply.message or "").strip()[:_SAID] or "no reason given"
    return KafkaAuthenticationError(
        f"login by {login.mechanism} refused, error {reply.error} ({said}): {login.refused(number)}"
    )


class PlainLogin(SaslLogin):
    """PLAIN: user and password as they are; only TLS keeps them from others."""

    mechanism = "PLAIN"

    def __init__(self, username: str, password: Secret) -> None:
        self._username, self._password = username, password

    async def converse(self, host: str) -> Conversation:  # noqa: ARG002 - the same everywhere
        """Send both in one message."""
        password = self._password.reveal()
        if "\0" in self._username or "\0" in password:
            raise KafkaSetupError("sasl: a NUL cannot be sent by PLAIN; remove it")
        yield f"\0{self._username}\0{password}".encode()

    def refused(self, messages: int) -> str:  # noqa: ARG002 - there is one
        """Say what to do."""
        return f"user {self._username!r} is unknown or has another password; correct sasl"


class BearerLogin(SaslLogin):
    """OAUTHBEARER (RFC 7628). `fetch_token` is called at each login; it raises KafkaWireError.

    `on_refused` is told when a node did not take the token, so that it is not offered again.
    """

    mechanism = "OAUTHBEARER"

    def __init__(
        self,
        fetch_token: Callable[[], Awaitable[Secret]],
        *,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._fetch_token, self._on_refused = fetch_token, on_refused

    async def converse(self, host: str) -> Conversation:  # noqa: ARG002 - the same everywhere
        """Send the token; a node that does not take it first says why in JSON."""
        token = (await self._fetch_token()).reveal().strip()
        if not _TOKEN.fullmatch(token):
            raise KafkaSetupError("sasl: what serves as token is none (RFC 6750); correct it")
        why = yield f"n,,{_KVSEP}auth=Bearer {token}{_KVSEP}{_KVSEP}".encode()
        if why:
            yield _KVSEP.encode()  # the node wants this before it says so as an error
            said = why[:_SAID].decode("utf-8", "replace")
            raise KafkaAuthenticationError(f"token not taken ({said}): {self.refused(1)}")

    def refused(self, messages: int) -> str:  # noqa: ARG002 - all mean the same
        """Say what to do."""
        self._on_refused()
        return (
            "the token has expired, or is not for this cluster; compare its issuer, audience and "
            "scope with the listener's sasl.oauthbearer settings, and both clocks"
        )
