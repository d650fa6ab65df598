"""The secured cluster: TLS, every login, an authorizer, guarded JMX; and ones that are broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.integration.clusters.kraft import format_servers, kafka_line, kraft_properties
from tests.integration.clusters.pki import KEY_PASSWORD, Pki, make_pki
from tests.integration.clusters.servers import (
    COMBINED,
    CONTROLLER,
    Plan,
    Program,
    RealCluster,
    Server,
    plan_servers,
    write_servers,
)
from tests.integration.clusters.tokens import AUDIENCE, TokenIssuer

from kafka_self_healing.demo.layout import write_settings
from kafka_self_healing.demo.supervised import clean_folder

ADMIN: Final = ("admin", "admin-S3cret")
HEALER: Final = ("healer", "healer-S3cret")
"""May describe the cluster and all topics, and their configuration: all that we ever need."""
READER: Final = ("reader", "reader-S3cret")
"""May describe the cluster and all topics, but not their configuration."""
STRANGER: Final = ("stranger", "stranger-S3cret")
"""May log in, no more."""
MONITOR: Final = ("monitor", "monitor-S3cret")
"""Reads JMX."""
USERS: Final = (ADMIN, HEALER, READER, STRANGER)

PROTOCOLS: Final = {
    "SCRAM": "SASL_SSL",
    "PLAIN": "SASL_SSL",
    "OAUTH": "SASL_SSL",
    "MTLS": "SSL",
    CONTROLLER: "SSL",
    "EXPIRED": "SSL",
    "FUTURE": "SSL",
    "OTHERHOST": "SSL",
    "FOREIGN": "SSL",
    "OPEN": "PLAINTEXT",
}
EVERYWHERE: Final = ("SCRAM", "PLAIN", "OAUTH", "MTLS", CONTROLLER)
WRONG: Final = ("EXPIRED", "FUTURE", "OTHERHOST", "FOREIGN", "OPEN")
"""Listeners of node 1 alone: with a wrong certificate, and one without TLS."""

_SASL: Final = "org.apache.kafka.common.security"
_OAUTH: Final = f"{_SASL}.oauthbearer"


@dataclass(frozen=True, slots=True)
class Wrongs:
    """What is wrong on node 3. The keystores are names of files of `Pki`; "": the right ones.

    `password_mode`: of the JMX password file. `jmx_keystore`: what JMX serves.
    """

    properties: Mapping[str, str] = field(default_factory=dict)
    keystore: str = ""
    controller_keystore: str = ""
    password_mode: int = 0o600
    jmx_keystore: str = "keystore"

    def changes(self, pki: Pki) -> dict[str, str]:
        """Return the properties that differ."""
        changed = dict(self.properties)
        if self.keystore:
            changed["ssl.keystore.location"] = str(getattr(pki, self.keystore))
        if self.controller_keystore:
            name = "listener.name.controller.ssl.keystore.location"
            changed[name] = str(getattr(pki, self.controller_keystore))
        return changed


def inter_broker_login(user: tuple[str, str]) -> dict[str, str]:
    """Return the properties with which a broker logs in to the others."""
    module = f"{_SASL}.scram.ScramLoginModule"
    line = f'{module} required username="{user[0]}" password="{user[1]}";'
    return {f"listener.name.scram.scram-sha-{bits}.sasl.jaas.config": line for bits in (256, 512)}


class SecuredCluster(RealCluster):
    """Three combined nodes that speak to nobody without TLS, with what its clients need."""

    def __init__(
        self, directory: Path, servers: Mapping[str, Server], pki: Pki, issuer: TokenIssuer
    ) -> None:
        login: dict[str, Any] = {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": ADMIN[0],
            "sasl_plain_password": ADMIN[1],
            "ssl_cafile": str(pki.ca),
        }
        witness = pki.context(pki.broker)
        super().__init__(directory, servers, look_at="MTLS", tls=witness, login=login)
        self.pki = pki
        self.issuer = issuer

    def grant(self) -> None:
        """Give the healer and the reader their rights. Raises kafka-python's errors."""
        from kafka.admin import ACLOperation, ResourceType

        cluster, topics = (ResourceType.CLUSTER, "kafka-cluster"), (ResourceType.TOPIC, "*")
        see, configs = ACLOperation.DESCRIBE, ACLOperation.DESCRIBE_CONFIGS
        rights = [(HEALER[0], see), (HEALER[0], configs), (READER[0], see)]
        with self.admin("SCRAM") as admin:
            give(
                admin,
                [allow(user, right, on) for user, right in rights for on in (cluster, topics)],
            )


def allow(user: str, operation: Any, on: tuple[Any, str], *, deny: bool = False) -> Any:
    """Return an access rule of kafka-python: `user` may (or may not) do it to a resource."""
    from kafka.admin import ACL, ACLPermissionType, ResourcePattern

    permission = ACLPermissionType.DENY if deny else ACLPermissionType.ALLOW
    return ACL(f"User:{user}", "*", operation, permission, ResourcePattern(*on))


def give(admin: Any, rules: Sequence[Any]) -> None:
    """Create access rules, all of them: the client only returns what was refused."""
    refused = admin.create_acls(list(rules))["failed"]
    assert not refused, refused


def secured_cluster(
    directory: Path, program: Program, wrongs: Wrongs | None = None
) -> SecuredCluster:
    """Lay out the secured cluster in `directory`; nothing runs yet."""
    directory = clean_folder(directory)
    pki = make_pki(directory / "pki")
    issuer = TokenIssuer()
    keys = directory / "pki" / "jwks.json"
    issuer.write_keys(keys)
    plans = {
        id_: Plan(COMBINED, (*EVERYWHERE, *WRONG) if id_ == "1" else EVERYWHERE) for id_ in "123"
    }
    servers = plan_servers(directory, plans)
    oauth = tuple(
        f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.{kind}={value}"
        for kind, value in (("urls", keys.as_uri()), ("files", keys))
    )
    lines = {}
    for id_, server in servers.items():
        wrong = wrongs if wrongs is not None and id_ == "3" else Wrongs()
        properties = kraft_properties(server, servers, PROTOCOLS) | _guarded(pki, keys)
        write_settings(server.properties_file, properties | wrong.changes(pki))
        agent = _jmx_agent(server.folder, pki, wrong)
        lines[id_] = kafka_line(program, server, agent=agent, flags=oauth)
    scram = [
        word
        for name, password in USERS
        for word in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
    ]
    # Kept also for SCRAM-SHA-256, which the healer may be told to use instead.
    scram += ["--add-scram", f"SCRAM-SHA-256=[name={HEALER[0]},password={HEALER[1]}]"]
    format_servers(program, servers, tuple(scram))
    write_servers(directory, servers, lines)
    return SecuredCluster(directory, servers, pki, issuer)


def _guarded(pki: Pki, keys: Path) -> dict[str, str]:
    plain = f'{_SASL}.plain.PlainLoginModule required user_{HEALER[0]}="{HEALER[1]}";'
    properties = {
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256",
        **inter_broker_login(ADMIN),
        "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.plain.plain.sasl.jaas.config": plain,
        "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.oauth.oauthbearer.sasl.jaas.config": f"{_OAUTH}.OAuthBearerLoginModule "
        "required;",
        "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class": f"{_OAUTH}."
        "OAuthBearerValidatorCallbackHandler",
        "listener.name.oauth.oauthbearer.sasl.oauthbearer.jwks.endpoint.url": keys.as_uri(),
        "listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(pki.broker),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(pki.ca),
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.controller.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:broker",
        # A third of Kafka's default: how long a replica that cannot fetch stays in sync.
        "replica.lag.time.max.ms": "10000",
    }
    served = {
        "expired": pki.expired,
        "future": pki.future,
        "otherhost": pki.other_host,
        "foreign": pki.foreign,
    }
    for listener, pem in served.items():
        properties[f"listener.name.{listener}.ssl.keystore.location"] = str(pem)
    # Each listener has threads of its own: one is enough for those that only tests ask.
    for listener in ("plain", "oauth", "open", *served):
        properties[f"listener.name.{listener}.num.network.threads"] = "1"
    return properties


def _jmx_agent(folder: Path, pki: Pki, wrongs: Wrongs) -> dict[str, str]:
    users, rights, tls = (folder / name for name in ("jmx.users", "jmx.access", "jmx.tls"))
    users.touch(mode=0o600)
    users.write_text(" ".join(MONITOR) + "\n", encoding="utf-8")
    users.chmod(wrongs.password_mode)
    rights.write_text(f"{MONITOR[0]} readonly\n", encoding="utf-8")
    tls.touch(mode=0o600)
    served = getattr(pki, wrongs.jmx_keystore)
    store = {"keyStore": served, "keyStorePassword": KEY_PASSWORD, "keyStoreType": "PKCS12"}
    lines = "".join(f"javax.net.ssl.{key}={value}\n" for key, value in store.items())
    tls.write_text(lines, encoding="utf-8")
    return {
        "authenticate": "true",
        "password.file": str(users),
        "access.file": str(rights),
        "ssl": "true",
        "registry.ssl": "true",
        "ssl.config.file": str(tls),
    }
