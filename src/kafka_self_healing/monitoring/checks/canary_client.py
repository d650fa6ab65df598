"""kafka-python, for the canary alone: one record produced and consumed, and its topic made.

The package is the extra `canary`, loaded at its first use. Everything here blocks; run it in a
thread. Its clients are closed when a function returns, and all that they do has one deadline.
"""

from __future__ import annotations

import importlib
import logging
import ssl
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from kafka_self_healing.clock import boot_seconds
from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.access import SaslConfig, SaslMechanism
from kafka_self_healing.model.evidence import Outcome
from kafka_self_healing.secret import Secret

CLIENT_ID: Final = "kafka-self-healing-canary"
_LEAST_MS: Final = 100
_FETCH_WAIT_MS: Final = 100
_QUOTED: Final = 120
_SAID: Final = 300
_CLOSE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker as kafka-python is told of it. `security`: its options for TLS and login."""

    address: str
    security: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What one record took, in milliseconds, each with the connection to the leader."""

    produce_ms: float
    consume_ms: float


class _Deadline:
    """What is left of the time, in the units of kafka-python."""

    def __init__(self, timeout_s: float) -> None:
        self._at = boot_seconds() + timeout_s
        self._timeout_s = timeout_s

    def left_ms(self) -> int:
        """Return milliseconds. Raises CheckError (timed out) when there is next to nothing left."""
        left = int((self._at - boot_seconds()) * 1000)
        if left < _LEAST_MS:
            raise CheckError(Outcome.TIMED_OUT, f"no round trip within {self._timeout_s:g} s")
        return left


def send_and_fetch(
    broker: Broker, topic: str, partition: int, value: bytes, *, timeout_s: float
) -> RoundTrip:
    """Produce one record (acks=all) and consume it. Raises CheckError."""
    kafka = kafka_module()
    deadline = _Deadline(timeout_s)
    place = f"{topic}-{partition} by {broker.address}"
    with _errors_of(place):
        offset, produce_ms = _produce(kafka, broker, (topic, partition), value, deadline)
        consume_ms = _consume(kafka, broker, (topic, partition), (offset, value), deadline)
    return RoundTrip(produce_ms, consume_ms)


def create_topic(
    broker: Broker,
    topic: str,
    replicas: Sequence[Sequence[int]],
    configs: Mapping[str, str],
    *,
    timeout_s: float,
) -> None:
    """Make a topic with these replicas, the first of each partition its leader.

    One that is there already is left alone. Raises CheckError.
    """
    admin_module, errors = kafka_module("kafka.admin"), kafka_module("kafka.errors")
    deadline = _Deadline(timeout_s)
    wanted = admin_module.NewTopic(
        topic,
        replica_assignments={number: list(one) for number, one in enumerate(replicas)},
        topic_configs=dict(configs),
    )
    with _errors_of(f"creating {topic} by {broker.address}"):
        admin = admin_module.KafkaAdminClient(
            bootstrap_servers=[broker.address],
            client_id=CLIENT_ID,
            bootstrap_timeout_ms=deadline.left_ms(),
            request_timeout_ms=deadline.left_ms(),
            **broker.security,
        )
        try:
            admin.create_topics([wanted], timeout_ms=deadline.left_ms())
        except errors.TopicAlreadyExistsError:
            return
        finally:
            admin.close()


def security_options(
    context: ssl.SSLContext | None,
    server_name: str | None,
    sasl: SaslConfig | None,
    token: Secret | None,
) -> dict[str, Any]:
    """Return the options for TLS and login. `token`: that of OAUTHBEARER, fetched before."""
    protocol = ("SASL_" if sasl else "") + ("SSL" if context else "PLAINTEXT")
    options: dict[str, Any] = {"security_protocol": protocol}
    if context is not None:
        options["ssl_context"] = context if server_name is None else _Named(context, server_name)
    if sasl is None:
        return options
    options["sasl_mechanism"] = sasl.mechanism.value
    match sasl.mechanism:
        case SaslMechanism.OAUTHBEARER:
            options["sasl_oauth_token_provider"] = _token_provider(token)
        case SaslMechanism.GSSAPI:
            options["sasl_kerberos_service_name"] = sasl.service_name
        case _:
            options["sasl_plain_username"] = sasl.username
            options["sasl_plain_password"] = sasl.password.reveal() if sasl.password else None
    return options


class _Named:
    """A context that asks for a certificate of another name than the host's."""

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._context, self._name = context, name

    def wrap_socket(self, sock: Any, **given: Any) -> ssl.SSLSocket:
        """Wrap, with our name: all that kafka-python asks of a context."""
        return self._context.wrap_socket(sock, **{**given, "server_hostname": self._name})


def _token_provider(token: Secret | None) -> Any:
    base = kafka_module("kafka.net.sasl.oauth").AbstractTokenProvider
    text = "" if token is None else token.reveal()

    class Provider(base):  # type: ignore[misc, valid-type]
        """Gives the token that was fetched for this look."""

        def token(self) -> str:
            """Return it."""
            return text

    return Provider()


def _produce(
    kafka: ModuleType,
    broker: Broker,
    place: tuple[str, int],
    value: bytes,
    deadline: _Deadline,
) -> tuple[int, float]:
    left = deadline.left_ms()
    producer = kafka.KafkaProducer(
        bootstrap_servers=[broker.address],
        client_id=CLIENT_ID,
        acks="all",
        enable_idempotence=False,  # it needs a right of its own, and one record needs no order
        allow_auto_create_topics=False,
        metrics_enabled=False,
        bootstrap_timeout_ms=left,
        max_block_ms=left,
        request_timeout_ms=left // 2,
        delivery_timeout_ms=left,
        **broker.security,
    )
    try:
        producer.partitions_for(place[0])
        began = boot_seconds()
        sent = producer.send(place[0], value=value, partition=place[1])
        told = sent.get(timeout=deadline.left_ms() / 1000)
        return told.offset, (boot_seconds() - began) * 1000
    finally:
        producer.close(timeout=_CLOSE_S)


def _consume(
    kafka: ModuleType,
    broker: Broker,
    place: tuple[str, int],
    wanted: tuple[int, bytes],
    deadline: _Deadline,
) -> float:
    left = deadline.left_ms()
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=[broker.address],
        client_id=CLIENT_ID,
        group_id=None,
        enable_auto_commit=False,
        allow_auto_create_topics=False,
        metrics_enabled=False,
        max_poll_records=1,
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        bootstrap_timeout_ms=left,
        request_timeout_ms=left,
        **broker.security,
    )
    try:
        where = kafka.TopicPartition(*place)
        consumer.assign([where])
        consumer.seek(where, wanted[0])
        began = boot_seconds()
        while True:
            for record in consumer.poll(timeout_ms=deadline.left_ms()).get(where, ()):
                if record.offset == wanted[0]:
                    if record.value != wanted[1]:
                        raise CheckError(
                            Outcome.PROTOCOL, f"{place[0]}-{place[1]}: another record came back"
                        )
                    return (boot_seconds() - began) * 1000
    finally:
        consumer.close(autocommit=False, timeout_ms=int(_CLOSE_S * 1000))


@contextmanager
def _errors_of(place: str) -> Iterator[None]:
    """Turn kafka-python's errors into outcomes."""
    errors = kafka_module("kafka.errors")
    try:
        yield
    except errors.KafkaError as wrong:
        raise CheckError(_outcome(errors, wrong), f"{place}: {_words(wrong)}") from None


def _outcome(errors: ModuleType, wrong: Any) -> Outcome:
    rights = (
        errors.TopicAuthorizationFailedError,
        errors.ClusterAuthorizationFailedError,
        errors.GroupAuthorizationFailedError,
    )
    logins = (
        errors.SaslAuthenticationFailedError,
        errors.UnsupportedSaslMechanismError,
        errors.IllegalSaslStateError,
    )
    if isinstance(wrong, rights):
        return Outcome.AUTHORISATION
    if isinstance(wrong, logins):
        return Outcome.AUTHENTICATION
    # What a client would try again until its time is over has run out of time.
    return Outcome.TIMED_OUT if wrong.retriable else Outcome.PROTOCOL


def _words(wrong: Exception) -> str:
    # It quotes the whole request, and what there is to do must not be cut off behind it.
    said = str(wrong)
    if "AuthorizationFailed" in type(wrong).__name__:
        advice = "grant our user WRITE and READ on the canary's topic, and CREATE to make it"
        return f"{said[:_QUOTED]}; {advice}"
    return said[:_SAID]


def kafka_module(name: str = "kafka") -> ModuleType:
    """Return the module `name` of kafka-python. Raises CheckError (not asked): not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = importlib.import_module(name)
    except ImportError:
        raise CheckError(
            Outcome.NOT_ASKED,
            "the canary needs kafka-python: pip install 'kafka-self-healing[canary]'",
        ) from None
    # It reports each refused connection on its own; we return outcomes.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    return module
