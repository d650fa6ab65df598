"""What can go wrong between us and a Kafka listener. Each class carries one `outcome`.

::

    CheckError
    └── KafkaWireError                    message: host:port, what happened, what to do
        ├── KafkaRefusedError             refused         nobody listens on the port
        ├── KafkaUnreachableError         unreachable     no route, or the name does not resolve
        ├── KafkaTimedOutError            timed_out       no connection or no reply in time
        ├── KafkaResetError               reset           the peer or the network cut the connection
        ├── KafkaClosedError              closed          the peer (or we) closed the connection
        ├── KafkaTlsError                 tls             TLS on one side only, or no handshake
        ├── KafkaAuthenticationError      authentication  the node answers: it refuses our login
        ├── KafkaAuthorisationError       authorisation   the node answers: we may not ask this
        ├── KafkaWrongListenerError       wrong_listener  the node answers: this is another listener
        ├── KafkaSetupError               protocol        our own files or login cannot be used
        └── KafkaProtocolError            protocol        bytes that are no Kafka, or a broken reply
            └── KafkaUnsupportedError     protocol        the peer lacks the request or its version

The outcomes tls, authentication, authorisation and wrong_listener say that the node lives: only
what it said itself leads to them, never a connection that was merely cut.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import ClassVar

from kafka_self_healing.errors import CheckError
from kafka_self_healing.wire.tls import is_from_peer, tls_reason, wants_tls

UNSUPPORTED_VERSION = 35
NOT_LEADER_OR_FOLLOWER = 6
CLUSTER_AUTHORISATION_FAILED = 31
STORAGE_ERROR = 56
_INVALID_REQUEST = 42
_AUTHORISATION = frozenset({29, 30, 31, 53, 65})
_WRONG_LISTENER = frozenset({114, 115})
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


class KafkaWireError(CheckError):
    """Root of this tree. `outcome` is set by the class."""

    kind: ClassVar[str] = "protocol"

    def __init__(self, message: str) -> None:
        super().__init__(self.kind, message)

    def at(self, where: str) -> KafkaWireError:
        """Return a fresh error of the same class whose message begins with `where` (host:port)."""
        return type(self)(f"{where}: {self}")

    def again(self) -> KafkaWireError:
        """Return a fresh error with the same message, so that no traceback is shared."""
        return type(self)(str(self))


class KafkaRefusedError(KafkaWireError):
    """The host answered that nobody listens on the port."""

    kind = "refused"


class KafkaUnreachableError(KafkaWireError):
    """The host cannot be reached, or its name does not resolve."""

    kind = "unreachable"


class KafkaTimedOutError(KafkaWireError):
    """No connection, or no reply, within the time limit."""

    kind = "timed_out"


class KafkaResetError(KafkaWireError):
    """The connection was cut."""

    kind = "reset"


class KafkaClosedError(KafkaWireError):
    """The connection was closed in order, by the peer or by us."""

    kind = "closed"


class KafkaTlsError(KafkaWireError):
    """The TLS handshake failed, or TLS is spoken on one side only."""

    kind = "tls"


class KafkaAuthenticationError(KafkaWireError):
    """The node answers, and refuses our login, or wants one."""

    kind = "authentication"


class KafkaAuthorisationError(KafkaWireError):
    """The node lives and answers that our user lacks a right."""

    kind = "authorisation"


class KafkaWrongListenerError(KafkaWireError):
    """The node lives, but this listener (broker or controller) does not serve the request."""

    kind = "wrong_listener"


class KafkaSetupError(KafkaWireError):
    """A file, a token or a login of our own cannot be used; it says nothing about the node."""

    kind = "protocol"


class KafkaProtocolError(KafkaWireError):
    """Bytes that are no Kafka reply, or a reply that contradicts the protocol."""

    kind = "protocol"


class KafkaUnsupportedError(KafkaProtocolError):
    """The peer does not offer the request, or no version of it that we speak."""


def raise_for_error(api: str, code: int, message: str | None) -> None:
    """Raise for the error codes that speak of us, not of the node; leave all others in the reply.

    Raises KafkaAuthorisationError, KafkaWrongListenerError or KafkaUnsupportedError.
    """
    said = f" ({message})" if message else ""
    if code in _AUTHORISATION:
        raise KafkaAuthorisationError(
            f"{api}: error {code}, not authorised{said}; "
            "grant our user DESCRIBE and DESCRIBE_CONFIGS on the cluster and on all topics"
        )
    if code in _WRONG_LISTENER or (code == _INVALID_REQUEST and api == "DescribeCluster"):
        raise wrong_listener(api, code, message)
    if code == UNSUPPORTED_VERSION:
        raise KafkaUnsupportedError(
            f"{api}: error {code}, version not supported by the controller{said}; "
            "wait until all nodes run the same version"
        )


def wrong_listener(api: str, code: int, message: str | None) -> KafkaWrongListenerError:
    """Return the error of a listener that serves the other kind of client."""
    said = f" ({message})" if message else ""
    return KafkaWrongListenerError(
        f"{api}: error {code}, the other kind of listener{said}; "
        "compare the port with the node's broker and controller listeners"
    )


def connect_error(exc: OSError) -> KafkaWireError:
    """Translate what the operating system said while a TCP connection was made."""
    text = exc.strerror or str(exc) or type(exc).__name__
    if isinstance(exc, ConnectionRefusedError):
        return KafkaRefusedError("connection refused; nobody listens on this port")
    if isinstance(exc, socket.gaierror):
        return KafkaUnreachableError(f"the name does not resolve: {text}; check name and resolver")
    if isinstance(exc, ConnectionError):
        return KafkaResetError(f"connection cut while it was made: {text}; look at the node")
    if isinstance(exc, TimeoutError):
        return KafkaTimedOutError(f"no connection: {text}; is the host up, is a firewall between?")
    return KafkaUnreachableError(f"cannot connect: {text}; check host, route and firewall")


def tls_error(exc: OSError) -> KafkaWireError:
    """Translate how TLS failed. Only what the peer itself sent is a TLS error."""
    said = tls_reason(exc)
    if is_from_peer(exc):
        return KafkaTlsError(f"TLS: {said}")
    if isinstance(exc, TimeoutError):
        return KafkaTimedOutError(f"TLS: {said}")
    if isinstance(exc, ConnectionError) and exc.errno:
        return KafkaResetError(f"TLS: {said}")
    return KafkaClosedError(f"TLS: {said}")


def lost_error(
    exc: Exception | None, *, tls: bool, replied: bool, before_login: bool
) -> KafkaWireError:
    """Translate how an open connection ended. `replied`: the peer had answered at least once.

    `before_login`: nobody had logged in, and more than ApiVersions was asked.
    """
    hint = "look at the node"
    if not replied and tls:
        hint = (
            "a client certificate that the node wants and did not get looks like this, "
            "and so does a process that ends"
        )
    elif not replied:
        hint = "does this listener want TLS or SASL?"
    elif before_login:
        hint = "a listener that wants a login (SASL) does this, and so does a process that ends"
    if exc is None:
        return KafkaClosedError(f"closed by the peer; {hint}")
    text = (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or type(exc).__name__
    if isinstance(exc, ssl.SSLError):
        return tls_error(exc)
    if isinstance(exc, TimeoutError):
        return KafkaTimedOutError(f"connection timed out: {text}; is the host up?")
    if isinstance(exc, OSError) and exc.errno in _UNREACHABLE:
        return KafkaUnreachableError(f"connection lost: {text}; check host, route and firewall")
    return KafkaResetError(f"connection reset: {text}; {hint}")


def not_kafka_error(head: bytes) -> KafkaWireError:
    """Say what a peer is whose bytes (the first few) are no frame that we accept."""
    if wants_tls(head):
        return KafkaTlsError("answered with a TLS alert: this listener wants TLS; set tls")
    if head[:4] == b"HTTP":
        return KafkaProtocolError("answered in HTTP; this port is not Kafka, check the port")
    return KafkaProtocolError(f"answered {head[:16]!r}; no Kafka frame, check the port")
