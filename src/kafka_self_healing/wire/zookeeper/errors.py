"""What can go wrong between us and an ensemble member. Each class carries one `outcome`.

::

    CheckError
    └── ZooKeeperError                        message: host:port, what happened, what to do
        ├── ZooKeeperRefusedError             refused         nobody listens on the port
        ├── ZooKeeperUnreachableError         unreachable     no route, or the name is not known
        ├── ZooKeeperTimedOutError            timed_out       no connection or no answer in time
        ├── ZooKeeperResetError               reset           the connection was cut
        ├── ZooKeeperClosedError              closed          closed without an answer
        ├── ZooKeeperTlsError                 tls             TLS on one side only, or no handshake
        ├── ZooKeeperAuthenticationError      authentication  the login was refused (kazoo)
        ├── ZooKeeperAuthorisationError       authorisation   it answers: we may not ask this
        │   └── ZooKeeperNotWhitelistedError  authorisation   the word is not whitelisted there
        ├── ZooKeeperSetupError               protocol        our own files cannot be used
        ├── ZooKeeperProtocolError            protocol        bytes that are no ZooKeeper
        │   └── ZooKeeperUnsupportedError     protocol        it does not know this command
        └── ZooKeeperClientMissingError       not_asked       the optional client is not installed

"Not currently serving requests" is no error but an answer: `serving` is False in the reply. The
outcomes tls, authentication and authorisation say that the member lives: only what it did itself
leads to them, never a connection that was merely cut.
"""

from __future__ import annotations

import socket
import ssl
from typing import ClassVar

from kafka_self_healing.errors import CheckError
from kafka_self_healing.wire.tls import is_from_peer, tls_reason


class ZooKeeperError(CheckError):
    """Root of this tree. `outcome` is set by the class."""

    kind: ClassVar[str] = "protocol"

    def __init__(self, message: str) -> None:
        super().__init__(self.kind, message)

    def at(self, where: str) -> ZooKeeperError:
        """Return a fresh error of the same class whose message begins with `where` (host:port)."""
        return type(self)(f"{where}: {self}")


class ZooKeeperRefusedError(ZooKeeperError):
    """The host answered that nobody listens on the port."""

    kind = "refused"


class ZooKeeperUnreachableError(ZooKeeperError):
    """The host cannot be reached, or its name does not resolve."""

    kind = "unreachable"


class ZooKeeperTimedOutError(ZooKeeperError):
    """No connection, or no whole answer, within the time limit."""

    kind = "timed_out"


class ZooKeeperResetError(ZooKeeperError):
    """The connection was cut."""

    kind = "reset"


class ZooKeeperClosedError(ZooKeeperError):
    """The connection was closed in order, without an answer."""

    kind = "closed"


class ZooKeeperTlsError(ZooKeeperError):
    """The TLS handshake failed, or TLS is spoken on one side only."""

    kind = "tls"


class ZooKeeperAuthenticationError(ZooKeeperError):
    """The member does not accept our login."""

    kind = "authentication"


class ZooKeeperAuthorisationError(ZooKeeperError):
    """The member lives and answers that we may not ask this."""

    kind = "authorisation"


class ZooKeeperNotWhitelistedError(ZooKeeperAuthorisationError):
    """The member lives, but its `4lw.commands.whitelist` lacks the word."""


class ZooKeeperSetupError(ZooKeeperError):
    """A file of our own cannot be used; it says nothing about the member."""

    kind = "protocol"


class ZooKeeperProtocolError(ZooKeeperError):
    """Bytes that are no answer of ZooKeeper, or one that contradicts itself."""


class ZooKeeperUnsupportedError(ZooKeeperProtocolError):
    """The member does not know this command."""


class ZooKeeperClientMissingError(ZooKeeperError):
    """kazoo, which logs in and reads nodes, is not installed."""

    kind = "not_asked"


def connect_error(exc: OSError) -> ZooKeeperError:
    """Translate what the operating system said while a TCP connection was made."""
    text = exc.strerror or str(exc) or type(exc).__name__
    if isinstance(exc, ConnectionRefusedError):
        return ZooKeeperRefusedError("connection refused; nobody listens on this port")
    if isinstance(exc, socket.gaierror):
        return ZooKeeperUnreachableError(f"the name does not resolve: {text}; check the name")
    if isinstance(exc, ConnectionError):
        return ZooKeeperResetError(f"connection cut while it was made: {text}; look at the node")
    if isinstance(exc, TimeoutError):
        return ZooKeeperTimedOutError(f"no connection: {text}; is the host up?")
    return ZooKeeperUnreachableError(f"cannot connect: {text}; check host, route and firewall")


def tls_error(exc: OSError) -> ZooKeeperError:
    """Translate how TLS failed. Only what the peer itself sent is a TLS error."""
    said = tls_reason(exc)
    if is_from_peer(exc):
        return ZooKeeperTlsError(f"TLS: {said}")
    if isinstance(exc, TimeoutError):
        return ZooKeeperTimedOutError(f"TLS: {said}")
    if isinstance(exc, ConnectionError) and exc.errno:
        return ZooKeeperResetError(f"TLS: {said}")
    return ZooKeeperClosedError(f"TLS: {said}")


def lost_error(exc: OSError) -> ZooKeeperError:
    """Translate how a connection ended on which no answer had come."""
    if isinstance(exc, ssl.SSLError):
        return tls_error(exc)
    text = exc.strerror or str(exc) or type(exc).__name__
    if isinstance(exc, TimeoutError):
        return ZooKeeperTimedOutError(f"connection timed out: {text}; is the host up?")
    return ZooKeeperResetError(f"connection reset: {text}; look at the node")
