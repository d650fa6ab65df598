"""`Access`: from what the operator configured to the TLS contexts and logins of the clients."""

from __future__ import annotations

from kafka_self_healing.model.access import TlsConfig
from kafka_self_healing.wire.tls import TlsContext, TlsFiles, TlsSettings


class Access:
    """Makes each context and each login once, so that all checks share what they remember.

    It serves all plugins; equal settings get the same object.
    """

    def __init__(self) -> None:
        self._contexts: dict[TlsSettings, TlsFiles] = {}

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
        return self._contexts.setdefault(settings, TlsFiles(settings))
