"""Logins: what they send, what they believe, and what they never do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from tests.contracts.fake_kafka import HOST, FakeKafka, Listener
from tests.contracts.kafka_access import bearer

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.kafka.sasl import MAX_ROUNDS, Conversation, authenticate
from kafka_self_healing.wire.kafka.scram import saslprep

LIMIT_S = 10.0
SOON_S = 0.2
USER = ("us,er=1", "pass,word=1")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER")


@pytest.fixture
def node() -> Iterator[FakeKafka]:
    """A node with logins and no TLS."""
    listener = Listener(mechanisms=MECHANISMS)
    with FakeKafka({"SASL": listener}, users=dict([USER]), strangers={}).running() as node:
        yield node


@asynccontextmanager
async def logged_in(
    node: FakeKafka, login: kafka.SaslLogin, timeout_s: float = LIMIT_S
) -> AsyncIterator[kafka.KafkaConnection]:
    """Connect and log in."""
    made = await kafka.connect(HOST, node.ports["SASL"], sasl=login, timeout_s=timeout_s)
    try:
        yield made
    finally:
        await made.close()


def by_scram(password: str = USER[1], user: str = USER[0]) -> kafka.ScramLogin:
    """Return a login by SCRAM-SHA-256."""
    return kafka.ScramLogin("SCRAM-SHA-256", user, Secret(password))


async def scram_talk(*answers: bytes | str, login: kafka.ScramLogin | None = None) -> list[bytes]:
    """Hold a SCRAM conversation with a node that says `answers`; {} is our nonce."""
    conversation = (login or by_scram()).converse(HOST)
    said = [await anext(conversation)]
    nonce = said[0].decode().partition(",r=")[2]
    for answer in answers:
        words = answer.replace("{}", nonce).encode() if isinstance(answer, str) else answer
        try:
            said.append(await conversation.asend(words))
        except StopAsyncIteration:
            break
    await conversation.aclose()
    return said


async def test_scram_says_what_rfc_7677_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the RFC: with its nonce the proof is its proof and its signature is good."""
    nonce, proof = "rOprNGfwEbeRWgbNEkqO", b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size: nonce)
    said = await scram_talk(
        "r={}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        login=by_scram("pencil", "user"),
    )
    assert said == [
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=" + proof,
    ]


async def test_commas_and_equals_signs_of_a_user_are_escaped(node: FakeKafka) -> None:
    """A user's name may hold what separates the fields."""
    assert (await scram_talk())[0].startswith(b"n,,n=us=2Cer=3D1,r=")
    async with logged_in(node, by_scram()):
        assert node.logins == 1


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ("r=mine,s=c2FsdA==,i=4096", kafka.KafkaAuthenticationError, "replay"),
        ("r={},s=c2FsdA==,i=4096", kafka.KafkaAuthenticationError, "replay"),
        ("r={}x,s=c2FsdA==,i=4095", kafka.KafkaAuthenticationError, "4095 iterations"),
        ("r={}x,s=c2FsdA==,i=1000001", kafka.KafkaAuthenticationError, "1000001 iterations"),
        ("r={}x,s=c2FsdA==,i=9999999999", kafka.KafkaProtocolError, "no number"),
        ("r={}x,s=c2FsdA==,i=-1", kafka.KafkaProtocolError, "no number"),
        ("r={}x,s=c2FsdA==,i=\u0664\u0660\u0669\u0666", kafka.KafkaProtocolError, "no number"),
        ("r={}x,s=!,i=4096", kafka.KafkaProtocolError, "base64"),
        ("r={}x,s=,i=4096", kafka.KafkaProtocolError, "base64"),
        ("m=what,r={}x,s=c2FsdA==,i=4096", kafka.KafkaProtocolError, "nonce, salt and"),
        ("", kafka.KafkaProtocolError, "nonce, salt and"),
        (b"\xff", kafka.KafkaProtocolError, "UTF-8"),
        (b"r" * 5000, kafka.KafkaProtocolError, "5000 bytes"),
    ],
)
async def test_scram_believes_no_bad_offer(
    answer: bytes | str, error: type[kafka.KafkaWireError], words: str
) -> None:
    """A replayed nonce, too few or too many iterations and broken fields end the login."""
    with pytest.raises(error, match=words):
        await scram_talk(answer)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"v=" + base64.b64encode(bytes(32)), kafka.KafkaAuthenticationError, "not be the real"),
        (b"e=other-error", kafka.KafkaAuthenticationError, "other-error"),
        (b"v=?", kafka.KafkaProtocolError, "base64"),
        (b"", kafka.KafkaProtocolError, "no signature"),
    ],
)
async def test_scram_wants_the_node_to_know_the_password(
    answer: bytes, error: type[kafka.KafkaWireError], words: str
) -> None:
    """A node that cannot sign with the password is not taken for ours."""
    with pytest.raises(error, match=words):
        await scram_talk("r={}x,s=c2FsdA==,i=4096", answer)


async def test_the_salted_password_is_computed_once(
    node: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dear part of SCRAM is done for the first login, and kept for all nodes."""
    login, computed = by_scram(), 0
    real = hashlib.pbkdf2_hmac

    def counted(*arguments: Any) -> bytes:
        nonlocal computed
        computed += arguments[1] == USER[1].encode()
        return real(*arguments)

    async with logged_in(node, login):
        pass
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", counted)
    async with logged_in(node, login):
        assert node.logins == 2
    assert computed == 1  # by the node


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0007", None),
        ("\u0627\u0031", None),
        ("\u0627\u0031\u0628", "\u0627\u0031\u0628"),
        ("\u0627a\u0628", None),
        ("\u0221", None),
        ("", ""),
    ],
)
def test_saslprep_says_what_rfc_4013_says(text: str, prepared: str | None) -> None:
    """The RFC's own examples, and one each of mapping, direction and unassigned."""
    assert saslprep(text) == prepared


@pytest.mark.parametrize(("stored", "refusals"), [("\u2168-password", 0), ("IX-password", 1)])
async def test_a_password_goes_as_written_and_then_prepared(stored: str, refusals: int) -> None:
    """Kafka keeps the bytes as they are; who prepared the password is served at the next try."""
    login = by_scram("\u2168-password")
    users = {USER[0]: stored}
    with FakeKafka({"SASL": Listener(mechanisms=MECHANISMS)}, users, {}).running() as node:
        for _ in range(refusals):
            with pytest.raises(kafka.KafkaAuthenticationError, match="the password is not his"):
                async with logged_in(node, login):
                    pytest.fail("was let in")
        for _ in range(2):
            async with logged_in(node, login):
                pass
        assert node.logins == 2


async def test_plain_cannot_carry_a_nul(node: FakeKafka) -> None:
    """A NUL would end the field early, so nothing is sent."""
    with pytest.raises(kafka.KafkaSetupError, match="NUL"):
        async with logged_in(node, kafka.PlainLogin("user", Secret("a\0b"))):
            pytest.fail("was let in")


async def test_a_refused_token_is_told_to_its_source(node: FakeKafka) -> None:
    """The source of the token hears that it was refused, so that it can get another."""
    told: list[str] = []

    async def fetch() -> Secret:
        return Secret("stale")

    login = kafka.BearerLogin(fetch, on_refused=lambda: told.append("refused"))
    with pytest.raises(kafka.KafkaAuthenticationError, match="invalid_token"):
        async with logged_in(node, login):
            pytest.fail("was let in")
    assert told == ["refused"]


class Endless(kafka.SaslLogin):
    """A mechanism that never comes to an end."""

    mechanism = "ENDLESS"

    async def converse(self, host: str) -> Conversation:
        """Talk for ever."""
        while True:
            yield b"and"

    def refused(self, messages: int) -> str:
        """Is not expected."""
        raise AssertionError(messages)


async def test_a_login_has_an_end() -> None:
    """A conversation that goes on and on is given up."""
    asked = 0

    async def ask(request: kafka.Request[Any]) -> Any:
        nonlocal asked
        asked += 1
        if isinstance(request, kafka.SaslHandshake):
            return kafka.HandshakeReply(0, ())
        return kafka.AuthenticateReply(0, None, b"more")

    with pytest.raises(kafka.KafkaAuthenticationError, match="no end"):
        await authenticate(ask, Endless(), HOST)
    assert asked == 1 + MAX_ROUNDS


async def test_a_silent_login_times_out(node: FakeKafka) -> None:
    """A node that stops answering in the middle of a login is timed out, not refused."""
    node.pause_s = 1.0
    with pytest.raises(kafka.KafkaTimedOutError, match="did not answer"):
        async with logged_in(node, by_scram(), timeout_s=SOON_S):
            pytest.fail("was let in")


async def test_requests_wait_for_a_new_login(node: FakeKafka) -> None:
    """While a session is renewed the node takes nothing else: requests are held, none is lost."""
    node.session_s, node.pause_s = 0.2, 0.02
    async with logged_in(node, by_scram()) as connection:
        while node.logins < 3:
            reply = await connection.call(kafka.Metadata(), timeout_s=LIMIT_S)
            assert reply.brokers
        assert connection.lost is None


async def test_a_renewal_that_is_refused_loses_the_connection(node: FakeKafka) -> None:
    """Who is not let in again has no connection, and those who wait hear why."""
    node.session_s, node.pause_s = 0.2, 0.05
    lost: asyncio.Future[kafka.KafkaWireError] = asyncio.get_running_loop().create_future()
    async with logged_in(node, by_scram()) as connection:
        connection.on_lost(lost.set_result)
        node.users[USER[0]] = "changed"
        error = await asyncio.wait_for(lost, LIMIT_S)
        assert error.outcome == "authentication"
        assert "the password is not his" in str(error)
        with pytest.raises(kafka.KafkaAuthenticationError):
            connection.send(kafka.Metadata())


async def test_a_renewal_that_is_not_answered_loses_the_connection(node: FakeKafka) -> None:
    """A node that hangs while a session is renewed is found out at the login's time limit."""
    node.session_s = 0.2
    async with logged_in(node, by_scram(), timeout_s=1.0) as connection:
        node.pause_s = 30.0
        held = None
        while connection.lost is None:
            await asyncio.sleep(0.02)
            if held is None and connection._held is not None:
                held = connection.send(kafka.Metadata())
        assert connection.lost.outcome == "timed_out"
        assert held is not None
        with pytest.raises(kafka.KafkaTimedOutError):
            await held


async def test_closing_ends_a_renewal(node: FakeKafka) -> None:
    """Nothing goes on behind a connection that we closed."""
    node.session_s = 0.1
    async with logged_in(node, by_scram()) as connection:
        node.pause_s = 0.5
        while connection._renewing is None:
            await asyncio.sleep(0.01)
        await connection.close()
        renewing = connection._renewing
        await asyncio.wait([renewing], timeout=LIMIT_S)
        assert renewing.cancelled()


def test_no_login_shows_its_secret() -> None:
    """The text of a login has no password and no token."""
    secret = Secret("hidden")
    logins = (
        kafka.PlainLogin("user", secret),
        kafka.ScramLogin("SCRAM-SHA-256", "user", secret),
        bearer("hidden"),
    )
    assert "hidden" not in "".join(f"{login!r}{login}{vars(login)}" for login in logins)


class StubContext:
    """Plays the client's side of Kerberos in two steps, as `gssapi.SecurityContext` does."""

    def __init__(self, *, name: str, usage: str) -> None:
        assert usage == "initiate"
        self.name, self.complete = name, False

    def step(self, token: bytes | None) -> bytes | None:
        """Return our token, then nothing."""
        if token is None:
            return b"ticket for " + self.name.encode()
        if token != b"mutual":
            raise stub_gssapi().exceptions.GSSError("clock skew too great")
        self.complete = True
        return None

    def unwrap(self, message: bytes) -> Any:
        """Take off the wrapping."""
        return _Wrapped(message.removeprefix(b"wrapped:"))

    def wrap(self, message: bytes, encrypt: bool) -> Any:
        """Put it on."""
        assert not encrypt
        return _Wrapped(b"wrapped:" + message)


class _Wrapped:
    def __init__(self, message: bytes) -> None:
        self.message = message


class _GssError(Exception):
    pass


def stub_gssapi() -> Any:
    """Return a module in the shape of `gssapi`."""
    module: Any = ModuleType("gssapi")
    module.exceptions = ModuleType("gssapi.exceptions")
    module.exceptions.GSSError = _GssError
    module.NameType = ModuleType("NameType")
    module.NameType.hostbased_service = "hostbased"
    module.Name = lambda text, kind: text
    module.SecurityContext = StubContext
    return module


async def kerberos_talk(*answers: bytes) -> list[bytes]:
    """Hold a GSSAPI conversation with a node that says `answers`."""
    conversation = kafka.KerberosLogin("kafka").converse("broker.test")
    said = [await anext(conversation)]
    for answer in answers:
        try:
            said.append(await conversation.asend(answer))
        except StopAsyncIteration:
            break
    await conversation.aclose()
    return said


async def test_kerberos_agrees_on_no_security_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticket, mutual proof, an empty message, and the choice of no layer (RFC 4752)."""
    monkeypatch.setitem(sys.modules, "gssapi", stub_gssapi())
    said = await kerberos_talk(b"mutual", b"wrapped:\x07\0\0\0", b"")
    assert said == [b"ticket for kafka@broker.test", b"", b"wrapped:\x01\0\0\0"]


async def test_kerberos_tells_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kerberos' own words come with what to look at; a layer that Kafka lacks is refused."""
    monkeypatch.setitem(sys.modules, "gssapi", stub_gssapi())
    with pytest.raises(kafka.KafkaSetupError, match=r"clock skew too great.*klist"):
        await kerberos_talk(b"nonsense")
    with pytest.raises(kafka.KafkaProtocolError, match="security layer"):
        await kerberos_talk(b"mutual", b"wrapped:\x06\0\0\0")


async def test_kerberos_without_its_package_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The optional package is named with the line that installs it."""
    monkeypatch.setitem(sys.modules, "gssapi", None)
    with pytest.raises(kafka.KafkaSetupError, match=r"pip install 'gssapi>=1\.9,<2'"):
        await kerberos_talk()
