"""What can go wrong between us and a JMX agent: one class for each thing an operator may do.

::

    JmxError(outcome)
    ├── JmxNameError            not_asked       a name that no agent would accept; nothing was sent
    ├── JmxSetupError           protocol        our own TLS files cannot be used; nothing was asked
    ├── JmxConnectError         refused, unreachable, reset, closed: look at the node, the firewall
    ├── JmxTlsError             tls             certificates, or TLS on one side only
    ├── JmxTimeout              timed_out       it hangs, or a firewall drops; connection dropped
    ├── JmxProtocolError        protocol        malformed or oversized reply; connection dropped
    ├── JmxAuthenticationError  authentication  wrong user or password, or none given
    ├── JmxAccessDenied         authorisation   the user may not read this
    ├── JmxNotFound             answered        no such MBean: the JVM lives, the MBean does not
    ├── JmxSessionGone          closed          the session is unknown, also after a new login
    └── JmxRemoteError          protocol        any other exception of the server

The outcomes tls, authentication and authorisation say that the node lives: only what it said itself
leads to them, never a connection that was merely cut.
"""

from __future__ import annotations

from typing import ClassVar, Self

from kafka_self_healing.errors import CheckError


class JmxError(CheckError):
    """Root of the errors of this package. `outcome` is a value of `model.evidence.Outcome`."""

    usual_outcome: ClassVar[str] = "protocol"

    def __init__(self, message: str, *, outcome: str | None = None) -> None:
        super().__init__(outcome or self.usual_outcome, message)

    def again(self) -> Self:
        """Return a new error of the same kind and text, for a second caller to raise."""
        return type(self)(str(self), outcome=self.outcome)


class JmxNameError(JmxError):
    """An ObjectName or attribute name is malformed. It was not sent: the server would hang up."""

    usual_outcome = "not_asked"


class JmxSetupError(JmxError):
    """A file of our own cannot be used, so nothing was asked. It says nothing about the node."""


class JmxConnectError(JmxError):
    """There is no connection, or it was lost. `outcome` says how."""

    usual_outcome = "unreachable"


class JmxTlsError(JmxError):
    """The two sides do not agree on TLS, or a certificate does not pass. No password was sent."""

    usual_outcome = "tls"


class JmxTimeout(JmxError):
    """No answer in time. A late answer would be taken for the next one, so we hang up."""

    usual_outcome = "timed_out"


class JmxProtocolError(JmxError):
    """The peer does not speak JMX over RMI, or said more than we are willing to hear."""


class JmxAuthenticationError(JmxError):
    """The agent refused the login."""

    usual_outcome = "authentication"


class JmxAccessDenied(JmxError):
    """The agent knows the user but refuses the call."""

    usual_outcome = "authorisation"


class JmxNotFound(JmxError):
    """No such MBean. That is an answer: the JVM is alive."""

    usual_outcome = "answered"


class JmxSessionGone(JmxError):
    """The server does not know the session (restart, or 120 s without a call)."""

    usual_outcome = "closed"


class JmxRemoteError(JmxError):
    """The server answered a call with an exception that has no class of its own here."""
