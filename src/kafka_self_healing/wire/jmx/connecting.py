"""Ways to an RMI port, plain or in TLS, and in words what stands in them."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, TypeGuard

from kafka_self_healing.wire.handover import speak
from kafka_self_healing.wire.jmx.encoding import utf
from kafka_self_healing.wire.jmx.errors import (
    JmxConnectError,
    JmxError,
    JmxSetupError,
    JmxTimeout,
    JmxTlsError,
)

TlsContext: TypeAlias = Callable[[], ssl.SSLContext]
"""Asked, in a thread, for the context of each new connection, so that new files are used."""

# Threads of our own: a resolver or a file system that hangs holds up nobody else.
_NAMES = ThreadPoolExecutor(4, thread_name_prefix="jmx-names")
_FILES = ThreadPoolExecutor(2, thread_name_prefix="jmx-tls-files")
_NOT_SAID: Final = frozenset(
    {"UNEXPECTED_EOF_WHILE_READING", "NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE"}
)
_MAX_ADDRESSES: Final = 4
_PLAIN_LIMIT_S: Final = 1.0
HANGS: Final = "the process may hang: look at the node"

# Header, then our address, which the server ignores. Nothing waits for the server's greeting, so
# the first call may go out in the same segment.
HELLO: Final = b"JRMI" + struct.pack(">HB", 2, 0x4B) + utf("") + bytes(4)
GREETING: Final = b"\x4e"


@dataclass(frozen=True, slots=True)
class Tls:
    """How TLS is spoken: `server_name` must stand in the certificate; `explain` words an error."""

    context: TlsContext
    server_name: str
    explain: Callable[[Exception], str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An RMI port. `tls` None: plain."""

    host: str
    port: int
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class Waiting:
    """What is being waited for, in words that end a sentence; for the error of a timeout."""

    what: str = "nothing was sent yet"


@dataclass(frozen=True, slots=True)
class Opening:
    """Connects a protocol, made anew for each attempt, to an endpoint, and says what it waits for.

    It raises JmxConnectError, JmxTlsError or JmxTimeout.
    """

    endpoint: Endpoint
    protocol: Callable[[], asyncio.Protocol]
    waiting: Waiting

    async def connect(self, *, limit_s: float) -> asyncio.Protocol:
        """Try the addresses of the host's name, each for its share of `limit_s`."""
        context = await self._context()
        self.waiting.what = "the name of the host was not resolved; look at the resolver"
        addresses = await self._addresses()
        share_s = None if len(addresses) == 1 else limit_s / len(addresses)
        errors: list[JmxError] = []
        for family, address in addresses:
            try:
                async with asyncio.timeout(share_s):
                    return await self._open(family, address, context)
            except TimeoutError:
                errors.append(JmxTimeout(f"{self.endpoint}: {self.waiting.what}"))
            except JmxError as error:
                errors.append(error)
        # A refusal says more than a timeout or a missing route: the host is up.
        raise next((error for error in errors if error.outcome == "refused"), errors[-1])

    async def _context(self) -> ssl.SSLContext | None:
        tls = self.endpoint.tls
        if tls is None:
            return None
        self.waiting.what = "our own TLS files were not read; look at their file system"
        try:
            context = await asyncio.get_running_loop().run_in_executor(_FILES, tls.context)
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=tls.server_name)
        except OSError as error:  # ssl.SSLError is one
            raise JmxSetupError(f"{self.endpoint}: not asked: {tls.explain(error)}") from None
        except ValueError as error:  # of wrap_bio: a name that no certificate can bear
            text = f"{self.endpoint}: not asked: {error}; set server_name"
            raise JmxSetupError(text) from None
        return context

    async def _addresses(self) -> Sequence[tuple[int, str]]:
        host, port = self.endpoint.host, self.endpoint.port
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            return [(socket.AF_INET if address.version == 4 else socket.AF_INET6, host)]
        resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(_NAMES, resolve)
        except UnicodeError:
            raise JmxConnectError(f"{self.endpoint}: no valid host name; correct it") from None
        except OSError as error:
            raise connect_error(self.endpoint, error) from None
        return list(dict.fromkeys((one[0], str(one[4][0])) for one in found))[:_MAX_ADDRESSES]

    async def _open(
        self, family: int, address: str, context: ssl.SSLContext | None
    ) -> asyncio.Protocol:
        self.waiting.what = "no TCP connection; is the host up, does a firewall drop this port?"
        sock = await self._socket(family, address)
        if context is None:
            return (await speak(sock, self.protocol))[1]
        tls = self.endpoint.tls
        assert tls is not None
        self.waiting.what = f"it accepted the connection and no TLS handshake followed; {HANGS}"
        try:
            _, made = await speak(sock, self.protocol, context=context, name=tls.server_name)
        except OSError as error:
            if not _is_from_peer(error):
                raise await self._cut(family, address, error) from None
            raise JmxTlsError(f"{self.endpoint}: {tls.explain(error)}") from None
        return made

    async def _socket(self, family: int, address: str) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        connected = False
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (address, self.endpoint.port))
            connected = True
        except OSError as error:
            raise connect_error(self.endpoint, error) from None
        finally:
            if not connected:
                sock.close()
        return sock

    async def _cut(self, family: int, address: str, error: OSError) -> JmxError:
        """Return why it hung up on our TLS: a plain port does so, and a process that dies."""
        if await self._greets_plainly(family, address):
            return JmxTlsError(
                f"{self.endpoint} speaks plain RMI, and TLS is configured for it here; set "
                "com.sun.management.jmxremote.ssl and .registry.ssl at the node, or change tls or "
                "registry_tls here"
            )
        if isinstance(error, ConnectionError | ssl.SSLError):
            text = f"{self.endpoint}: cut during the TLS handshake; look at the node"
            return JmxConnectError(text, outcome="reset")
        return connect_error(self.endpoint, error)

    async def _greets_plainly(self, family: int, address: str) -> bool:
        """Return whether the port greets who speaks plain RMI. Nothing secret is sent."""
        try:
            async with asyncio.timeout(_PLAIN_LIMIT_S):
                reader, writer = await asyncio.open_connection(
                    address, self.endpoint.port, family=family
                )
                try:
                    writer.write(HELLO)
                    return await reader.read(1) == GREETING
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return False


def lost_error(endpoint: Endpoint, error: Exception | None, *, greeted: bool) -> JmxError:
    """Return what it means that an open connection ended; `greeted`: the server had spoken."""
    if _is_from_peer(error) and endpoint.tls is not None:
        return JmxTlsError(f"{endpoint}: {endpoint.tls.explain(error)}")
    hint = ""
    if endpoint.tls is not None and not greeted:
        hint = "; a server that wants a client certificate and gets none does so"
    if isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLError):
        return JmxConnectError(f"{endpoint} reset the connection{hint}", outcome="reset")
    if isinstance(error, OSError):
        return connect_error(endpoint, error)
    return JmxConnectError(f"{endpoint} closed the connection{hint}", outcome="closed")


def connect_error(endpoint: Endpoint, error: OSError) -> JmxConnectError:
    """Return what the operating system said about a connection, and what to do about it."""
    outcome, hint = "unreachable", "; check host, route and firewall"
    if isinstance(error, ConnectionRefusedError):
        outcome, hint = "refused", "; nobody listens on this port"
    elif isinstance(error, ConnectionError):
        outcome, hint = "reset", "; look at the node"
    elif isinstance(error, TimeoutError):
        outcome, hint = "timed_out", "; is the host up, does a firewall drop this port?"
    code = error.errno or 0  # that of name resolution is negative and has no text here
    text = os.strerror(code) if code > 0 else error.strerror or str(error) or "connection cut"
    return JmxConnectError(f"{endpoint}: {text}{hint}", outcome=outcome)


def plain_words(error: Exception) -> str:
    """Return OpenSSL's reason in words: the `explain` of who gives none."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS failed: {error.reason.replace('_', ' ').lower()}"
    return str(error) or type(error).__name__


def _is_from_peer(error: Exception | None) -> TypeGuard[ssl.SSLError]:
    """Return whether `error` proves that the peer spoke: an alert, a certificate, other bytes."""
    cut = ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError
    if not isinstance(error, ssl.SSLError) or isinstance(error, cut):
        return False
    return error.reason not in _NOT_SAID
