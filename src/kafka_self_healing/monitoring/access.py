"""`Access`: from what the operator configured to the TLS contexts and logins of the clients."""

from __future__ import annotations

from kafka_self_healing.clock import Clock, SystemClock
from kafka_self_healing.model.access import SaslConfig, SaslMechanism, TlsConfig
from kafka_self_healing.monitoring.clients import WireClients
from kafka_self_healing.monitoring.tokens import GivenToken, TokenFile, TokenProvider
from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.kafka import (
    BearerLogin,
    KafkaSetupError,
    KerberosLogin,
    PlainLogin,
    SaslLogin,
    ScramLogin,
)
from kafka_self_healing.wire.tls import TlsContext, TlsFiles, TlsSettings

TokenSource = GivenToken | TokenFile | TokenProvider


class Access:
    """Makes each context and each login once, so that all checks share what they remember.

    It serves all plugins; equal settings get the same object. `wire`: what speaks to the nodes.
    """

    def __init__(self, clock: Clock | None = None, wire: WireClients | None = None) -> None:
        self._clock = clock or SystemClock()
        self.wire = wire or WireClients()
        self._contexts: dict[TlsSettings, TlsFiles] = {}
        self._logins: dict[SaslConfig, SaslLogin] = {}
        self._sources: dict[SaslConfig, TokenSource] = {}

    def tls_context(self, config: TlsConfig | None) -> TlsContext | None:
        """Return what gives the context for `config`, made anew when its files are exchanged.

        None: no TLS. The name that the certificate must bear, `config.server_name`, is not in a
        context: give it to the client.
        """
        if config is None:
            return None
        settings = TlsSettings(
            ca_file=config.ca_file,
            cert_file=config.cert_file,
            key_file=config.key_file,
            key_password=config.key_password,
            verify=config.verify,
            strict=config.strict,
        )
        known = self._contexts.get(settings)
        if known is None:
            known = self._contexts[settings] = TlsFiles(settings)
        return known

    def login(self, config: SaslConfig | None) -> SaslLogin | None:
        """Return the login for `config`; None: nobody logs in. Raises KafkaSetupError."""
        if config is None:
            return None
        known = self._logins.get(config)
        if known is None:
            known = self._logins[config] = self._made(config)
        return known

    async def token(self, config: SaslConfig) -> Secret:
        """Return the bearer token of now, for a client that logs in by itself.

        Raises KafkaSetupError.
        """
        return await self._token_source(config).fetch()

    def _made(self, config: SaslConfig) -> SaslLogin:
        match config.mechanism:
            case SaslMechanism.PLAIN:
                return PlainLogin(*_user(config))
            case SaslMechanism.SCRAM_SHA_256 | SaslMechanism.SCRAM_SHA_512:
                return ScramLogin(config.mechanism.value, *_user(config))
            case SaslMechanism.OAUTHBEARER:
                source = self._token_source(config)
                return BearerLogin(source.fetch, on_refused=source.forget)
            case SaslMechanism.GSSAPI:
                return KerberosLogin(config.service_name)

    def _token_source(self, config: SaslConfig) -> TokenSource:
        known = self._sources.get(config)
        if known is None:
            known = self._sources[config] = self._made_source(config)
        return known

    def _made_source(self, config: SaslConfig) -> TokenSource:
        if config.token is not None:
            return GivenToken(config.token)
        if config.token_file is not None:
            return TokenFile(config.token_file)
        if config.token_endpoint is None:
            raise KafkaSetupError(
                "sasl: OAUTHBEARER needs token, token_file or token_endpoint; set one of them"
            )
        tls = self.tls_context(config.token_endpoint.tls)
        return TokenProvider(config.token_endpoint, tls, self._clock)


def _user(config: SaslConfig) -> tuple[str, Secret]:
    if config.username is None or config.password is None:
        raise KafkaSetupError(f"sasl: {config.mechanism} needs username and password; set both")
    return config.username, config.password
