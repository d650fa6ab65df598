"""`Agent`: what is known of a JMX agent beforehand, and what of its words is believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.jmx.connecting import Endpoint, Tls
from kafka_self_healing.wire.jmx.encoding import NULL, write_strings
from kafka_self_healing.wire.jmx.errors import JmxAuthenticationError, JmxError, JmxTlsError
from kafka_self_healing.wire.jmx.stub import RemoteReference
from kafka_self_healing.wire.jmx.values import Limits

_TLS_FACTORY: Final = "javax.rmi.ssl.SslRMIClientSocketFactory"


@dataclass(frozen=True, slots=True)
class Agent:
    """A JMX agent: where its registry is, how it is spoken to, and who we are.

    `tls` None: all in plain. `registry_tls` False: only the JMX server speaks TLS. `rmi_port` None:
    that of the JMX server is as its stub says.
    """

    host: str
    port: int
    login: tuple[str, Secret] | None
    tls: Tls | None
    registry_tls: bool
    rmi_port: int | None
    limits: Limits

    @property
    def registry(self) -> Endpoint:
        """Where the stub of the JMX server is looked up."""
        return Endpoint(self.host, self.port, self.tls if self.registry_tls else None)

    def server(self, stub: RemoteReference) -> Endpoint:
        """Return where the JMX server is; refuse it if it is not spoken to as configured.

        Only the port counts. The host is what the server believes its name is; and nobody who
        pretends to be the registry gets us to send the password elsewhere, or in plain.
        """
        factory, where = stub.socket_factory, self.registry
        if factory is None and self.tls is not None:
            raise JmxTlsError(
                f"{where}: its JMX server speaks plain RMI, and TLS is configured for it here; no "
                "login was sent; set com.sun.management.jmxremote.ssl=true at the node, or remove "
                "tls here"
            )
        if factory == _TLS_FACTORY and self.tls is None:
            raise JmxTlsError(
                f"{where}: its JMX server speaks TLS ({factory}), and plain RMI is configured for "
                "it here; no login was sent; configure tls for its JMX, with registry_tls false"
            )
        if factory not in (None, _TLS_FACTORY):
            raise JmxTlsError(
                f"{where}: its JMX server wants its clients to connect by {factory}, which is not "
                "known here; no login was sent; use Java's own (com.sun.management.jmxremote.ssl)"
            )
        return Endpoint(self.host, self.rmi_port or stub.port, self.tls)

    def credentials(self) -> bytes:
        """Return the login as `newClient` wants it."""
        if self.login is None:
            return NULL
        user, password = self.login
        return write_strings([user, password.reveal()])

    def refusal(self, endpoint: Endpoint, error: JmxError) -> JmxError:
        """Return an error of the registry or the login with where it came from and what to do."""
        advice = ""
        if isinstance(error, JmxAuthenticationError) and self.login is None:
            advice = "; it wants a login: configure user and password for its JMX"
        elif isinstance(error, JmxAuthenticationError):
            advice = (
                "; compare user and password with the node's "
                "com.sun.management.jmxremote.password.file, and the user with .access.file"
            )
        return type(error)(f"{endpoint}: {error}{advice}", outcome=error.outcome)
