"""GSSAPI: Kerberos by the optional package `gssapi`, with the ticket that this process has."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

from kafka_self_healing.wire.kafka.errors import (
    KafkaProtocolError,
    KafkaSetupError,
)
from kafka_self_healing.wire.kafka.sasl import MAX_ROUNDS, Conversation, SaslLogin

INSTALL = "pip install 'gssapi>=1.9,<2'"
_NO_LAYER = 1  # the security layer of RFC 4752 that Kafka uses: none
_LAYER_BYTES = 4


class KerberosLogin(SaslLogin):
    """Log in as the owner of the ticket (KRB5CCNAME, or a client keytab) to `service_name`@host."""

    mechanism = "GSSAPI"

    def __init__(self, service_name: str = "kafka") -> None:
        self._service_name = service_name

    async def converse(self, host: str) -> Conversation:
        """Exchange tokens, then agree on no security layer. Kerberos is asked in a thread."""
        gssapi = _module()
        principal = f"{self._service_name}@{host}"
        step = await self._guarded(gssapi, _begin, gssapi, principal)
        token: bytes = await self._guarded(gssapi, step, None) or b""
        answer = yield token
        for _ in range(MAX_ROUNDS):
            if step.complete and not answer:
                answer = yield b""  # the node's offer comes when we have nothing more to say
            if step.complete:
                break
            token = await self._guarded(gssapi, step, answer) or b""
            answer = yield token
        layer = await self._guarded(gssapi, step.unwrap, answer)
        if len(layer) != _LAYER_BYTES or not layer[0] & _NO_LAYER:
            raise KafkaProtocolError("GSSAPI: the node insists on a security layer; Kafka has none")
        yield await self._guarded(gssapi, step.wrap, bytes((_NO_LAYER, 0, 0, 0)))

    def refused(self, messages: int) -> str:  # noqa: ARG002 - all mean the same
        """Say what to do."""
        return (
            "look at the ticket with klist, at both clocks, and whether the node has the service "
            f"principal {self._service_name}/HOST under the name by which it is asked"
        )

    async def _guarded(self, gssapi: ModuleType, work: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(work, *arguments)
        except gssapi.exceptions.GSSError as exc:
            raise KafkaSetupError(f"Kerberos: {exc}; {self.refused(0)}") from None


class _Step:
    """One security context; called with the node's token, it returns ours."""

    def __init__(self, gssapi: ModuleType, principal: str) -> None:
        name = gssapi.Name(principal, gssapi.NameType.hostbased_service)
        self._context = gssapi.SecurityContext(name=name, usage="initiate")

    def __call__(self, token: bytes | None) -> bytes | None:
        made: bytes | None = self._context.step(token)
        return made

    @property
    def complete(self) -> bool:
        """Whether both sides are known to each other."""
        return bool(self._context.complete)

    def unwrap(self, message: bytes) -> bytes:
        """Return what the node wrapped."""
        return bytes(self._context.unwrap(message).message)

    def wrap(self, message: bytes) -> bytes:
        """Wrap `message` without encrypting it."""
        return bytes(self._context.wrap(message, False).message)


def _begin(gssapi: ModuleType, principal: str) -> _Step:
    return _Step(gssapi, principal)


def _module() -> ModuleType:
    try:
        import gssapi  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise KafkaSetupError(
            f"sasl.mechanism GSSAPI needs the package gssapi: {INSTALL}, with the system's "
            "Kerberos library and headers (libkrb5-dev)"
        ) from None
    module: ModuleType = gssapi
    return module
