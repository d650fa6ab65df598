"""What a guarded Kafka listener makes of right and wrong access; real ones and the fake pass it.

Each row is a coroutine function of one `Guarded` cluster: `ROWS` are meant for parametrisation.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.tls import TlsFiles, TlsSettings

LIMIT_S = 20.0
TOPIC = "orders"


class Certificates(Protocol):
    """PEM files; each of the last five holds a key and its certificate."""

    @property
    def ca(self) -> Path:
        """The authority of all but `foreign`."""

    @property
    def foreign_ca(self) -> Path:
        """The authority of `foreign`."""

    @property
    def healer(self) -> Path:
        """A good client."""

    @property
    def expired(self) -> Path:
        """Ended."""

    @property
    def foreign(self) -> Path:
        """Signed by nobody whom the cluster trusts."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A cluster: the ports of one of its nodes by listener, its files, users and tokens.

    Listeners: SCRAM, PLAIN, OAUTH (TLS and login); MTLS, CONTROLLER (client certificate); EXPIRED,
    FUTURE, OTHERHOST, FOREIGN (a wrong certificate); OPEN (plain text, no login).
    """

    host: str
    ports: dict[str, int]
    pki: Certificates
    healer: tuple[str, str]
    stranger: tuple[str, str]
    token: Callable[[float], str]
    """Makes a token that ends in so many seconds."""

    shortest_s: float = 3.0
    """The shortest life of a token in which a login fits."""


def trusting(files: Certificates, identity: Path | None = None, **more: Any) -> TlsFiles:
    """Return the context of a client that trusts the cluster's authority."""
    settings = TlsSettings(ca_file=str(files.ca), cert_file=str(identity) if identity else None)
    return TlsFiles(replace(settings, **more))


def scram(user: tuple[str, str], mechanism: str = "SCRAM-SHA-512") -> kafka.ScramLogin:
    """Return a login by SCRAM."""
    return kafka.ScramLogin(mechanism, user[0], Secret(user[1]))


def bearer(token: str) -> kafka.BearerLogin:
    """Return a login by a token."""

    async def fetch() -> Secret:
        return Secret(token)

    return kafka.BearerLogin(fetch)


@asynccontextmanager
async def opened(it: Guarded, listener: str, **how: Any) -> AsyncIterator[kafka.KafkaConnection]:
    """Connect to a listener, with TLS unless `how` says otherwise."""
    how.setdefault("tls", trusting(it.pki))
    made = await kafka.connect(it.host, it.ports[listener], timeout_s=LIMIT_S, **how)
    try:
        yield made
    finally:
        await made.close()


async def brokers(connection: kafka.KafkaConnection) -> int:
    """Return how many brokers the metadata list."""
    return len((await connection.call(kafka.Metadata(), timeout_s=LIMIT_S)).brokers)


async def refused(
    it: Guarded, listener: str, error: type[kafka.KafkaWireError], *words: str, **how: Any
) -> None:
    """Connect in vain: the class of the error, and what its text must name."""
    with pytest.raises(error) as caught:
        async with opened(it, listener, **how):
            pytest.fail("was let in")
    assert type(caught.value) is error
    text = str(caught.value)
    assert text.startswith(f"{it.host}:{it.ports[listener]}: ")
    assert [word for word in words if word not in text] == [], text


async def scram_lets_in(it: Guarded) -> None:
    """Both SCRAM mechanisms log in; what is asked then is answered."""
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        async with opened(it, "SCRAM", sasl=scram(it.healer, mechanism)) as connection:
            assert await brokers(connection) >= 1


async def plain_lets_in(it: Guarded) -> None:
    """PLAIN logs in; what is asked then is answered."""
    login = kafka.PlainLogin(it.healer[0], Secret(it.healer[1]))
    async with opened(it, "PLAIN", sasl=login) as connection:
        assert await brokers(connection) >= 1


async def a_token_lets_in(it: Guarded) -> None:
    """OAUTHBEARER logs in; what is asked then is answered."""
    async with opened(it, "OAUTH", sasl=bearer(it.token(3600.0))) as connection:
        assert await brokers(connection) >= 1


async def a_certificate_lets_in(it: Guarded) -> None:
    """A client certificate is all that MTLS and the controllers want, in TLS 1.2 and 1.3."""
    identity, old = trusting(it.pki, it.pki.healer), trusting(it.pki, it.pki.healer)
    old().maximum_version = ssl.TLSVersion.TLSv1_2
    async with opened(it, "MTLS", tls=old) as connection:
        assert await brokers(connection) >= 1
    async with opened(it, "MTLS", tls=identity) as connection:
        assert await brokers(connection) >= 1
    async with opened(it, "CONTROLLER", tls=identity) as connection:
        assert kafka.DescribeQuorum.api.key in connection.apis


async def a_session_is_renewed(it: Guarded) -> None:
    """A token that ends soon is followed by a new login on the same connection, unnoticed."""
    lives_s = it.shortest_s
    fetched = 0

    async def fetch() -> Secret:
        nonlocal fetched
        fetched += 1
        return Secret(it.token(lives_s))

    begun = asyncio.get_running_loop().time()
    async with opened(it, "OAUTH", sasl=kafka.BearerLogin(fetch)) as connection:
        while asyncio.get_running_loop().time() - begun < 2.5 * lives_s:
            asked = [connection.send(kafka.Metadata()) for _ in range(5)]
            replies = await asyncio.wait_for(asyncio.gather(*asked), LIMIT_S)
            assert all(reply.brokers for reply in replies)
            await asyncio.sleep(lives_s / 100)
        assert connection.lost is None
    assert fetched >= 3


async def liveness_needs_no_login(it: Guarded) -> None:
    """A listener with SASL answers `ping` as often as it is asked, and nobody logs in."""
    async with opened(it, "SCRAM", greet=False) as connection:
        for _ in range(5):
            await connection.ping(timeout_s=LIMIT_S)
        assert connection.lost is None


async def liveness_is_the_same_everywhere(it: Guarded) -> None:
    """`ping` is answered by listeners without SASL too."""
    identity = trusting(it.pki, it.pki.healer)
    for listener, tls in (("MTLS", identity), ("CONTROLLER", identity), ("OPEN", None)):
        async with opened(it, listener, tls=tls) as connection:
            for _ in range(2):
                await connection.ping(timeout_s=LIMIT_S)


async def a_wrong_password_is_told(it: Guarded) -> None:
    """SCRAM tells a wrong password from an unknown user; PLAIN cannot. No password in the text."""
    error = kafka.KafkaAuthenticationError
    wrong = (it.healer[0], "not-It-1")
    await refused(it, "SCRAM", error, "the password is not his", "58", sasl=scram(wrong))
    nobody = ("nobody", "x")
    await refused(it, "SCRAM", error, "'nobody' has no SCRAM-SHA-512", sasl=scram(nobody))
    login = kafka.PlainLogin(wrong[0], Secret(wrong[1]))
    await refused(it, "PLAIN", error, f"{wrong[0]!r} is unknown or has another", sasl=login)
    for listener, sasl in (("SCRAM", scram(wrong)), ("PLAIN", login)):
        with pytest.raises(error) as caught:
            async with opened(it, listener, sasl=sasl):
                pytest.fail("was let in")
        assert wrong[1] not in f"{caught.value!r}"


async def a_wrong_mechanism_is_told(it: Guarded) -> None:
    """The text names the mechanisms that the listener takes."""
    login = kafka.PlainLogin(*_secret(it.healer))
    words = ("does not take PLAIN", "SCRAM-SHA-512", "set sasl.mechanism")
    await refused(it, "SCRAM", kafka.KafkaAuthenticationError, *words, sasl=login)


async def a_login_nobody_wants_is_told(it: Guarded) -> None:
    """A listener without SASL is no place to log in."""
    words = ("takes no login", "remove sasl")
    login, error = scram(it.healer), kafka.KafkaAuthenticationError
    await refused(it, "OPEN", error, *words, tls=None, sasl=login)


async def a_missing_login_is_told(it: Guarded) -> None:
    """Metadata before a login: cut off without a word; asking the listener tells why."""
    async with opened(it, "SCRAM") as connection:
        with pytest.raises(kafka.KafkaWireError, match="wants a login") as caught:
            await connection.call(kafka.Metadata(), timeout_s=LIMIT_S)
        assert caught.value.outcome in {"closed", "reset"}
    how: dict[str, Any] = {"tls": trusting(it.pki), "timeout_s": LIMIT_S}
    why = await kafka.login_wanted(it.host, it.ports["SCRAM"], **how)
    assert why is not None
    assert "SCRAM-SHA-512" in str(why)
    how["tls"] = None
    assert await kafka.login_wanted(it.host, it.ports["OPEN"], **how) is None


async def a_bad_token_is_told(it: Guarded) -> None:
    """An expired token and one that is none are refused in words, without the token."""
    old = it.token(-60.0)
    error = kafka.KafkaAuthenticationError
    await refused(it, "OAUTH", error, "token", "both clocks", sasl=bearer(old))
    with pytest.raises(error) as caught:
        async with opened(it, "OAUTH", sasl=bearer("no.token.atall")):
            pytest.fail("was let in")
    assert "no.token.atall" not in str(caught.value)
    await refused(it, "OAUTH", kafka.KafkaSetupError, "RFC 6750", sasl=bearer("two words"))


async def a_stranger_is_told(it: Guarded) -> None:
    """Whoever may log in and no more sees an empty cluster, without an error."""
    async with opened(it, "SCRAM", sasl=scram(it.stranger)) as connection:
        metadata = await connection.call(kafka.Metadata(), timeout_s=LIMIT_S)
        assert (metadata.topics, bool(metadata.brokers)) == ((), True)
        with pytest.raises(kafka.KafkaAuthorisationError, match="grant our user DESCRIBE"):
            await connection.call(kafka.DescribeQuorum(), timeout_s=LIMIT_S)


async def a_wrong_server_certificate_is_told(it: Guarded) -> None:
    """Expired, of tomorrow, of another host, of an unknown authority: each in its own words."""
    error = kafka.KafkaTlsError
    await refused(it, "EXPIRED", error, "has expired", "renew")
    await refused(it, "FUTURE", error, "not valid yet", "clocks")
    await refused(it, "OTHERHOST", error, "not made out for", it.host, "tls.server_name")
    await refused(it, "FOREIGN", error, "authority", "tls.ca_file")
    stranger = TlsFiles(TlsSettings(ca_file=str(it.pki.foreign_ca)))
    await refused(it, "MTLS", error, "authority", "tls.ca_file", tls=stranger)


async def a_certificate_may_bear_another_name(it: Guarded) -> None:
    """`server_name` is the name that is checked, and `verify` off checks nothing."""
    async with opened(it, "OTHERHOST", server_name="elsewhere.test") as connection:
        assert await brokers(connection) >= 1
    async with opened(it, "EXPIRED", tls=trusting(it.pki, verify=False)) as connection:
        assert await brokers(connection) >= 1


async def a_missing_client_certificate_is_told(it: Guarded) -> None:
    """Without a client certificate, with a foreign and with an expired one: TLS, and what to do.

    TLS 1.2 says so in the handshake, TLS 1.3 after it, at the first read.
    """
    error = kafka.KafkaTlsError
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        none = trusting(it.pki)
        none().maximum_version = version
        await refused(it, "MTLS", error, "client certificate", "tls.cert_file", tls=none)
        for identity in (it.pki.foreign, it.pki.expired):
            bad = trusting(it.pki, identity)
            bad().maximum_version = version
            await refused(it, "MTLS", error, "tls.cert_file", tls=bad)


async def a_missing_tls_is_told(it: Guarded) -> None:
    """Plain text to a TLS listener, and TLS to a plain one."""
    error = kafka.KafkaTlsError
    await refused(it, "MTLS", error, "wants TLS", "set tls", tls=None)
    await refused(it, "OPEN", error, "speaks no TLS", "remove tls")


async def our_own_files_are_told(it: Guarded) -> None:
    """A file of ours that cannot be used says nothing about the node."""
    gone = TlsFiles(TlsSettings(ca_file="/nowhere/ca.pem"))
    await refused(it, "MTLS", kafka.KafkaSetupError, "/nowhere/ca.pem", tls=gone)


def _secret(user: tuple[str, str]) -> tuple[str, Secret]:
    return user[0], Secret(user[1])


Row = Callable[[Guarded], Awaitable[None]]
ROWS: tuple[Row, ...] = (
    scram_lets_in,
    plain_lets_in,
    a_token_lets_in,
    a_certificate_lets_in,
    a_session_is_renewed,
    liveness_needs_no_login,
    liveness_is_the_same_everywhere,
    a_wrong_password_is_told,
    a_wrong_mechanism_is_told,
    a_login_nobody_wants_is_told,
    a_missing_login_is_told,
    a_bad_token_is_told,
    a_stranger_is_told,
    a_wrong_server_certificate_is_told,
    a_certificate_may_bear_another_name,
    a_missing_client_certificate_is_told,
    a_missing_tls_is_told,
    our_own_files_are_told,
)
