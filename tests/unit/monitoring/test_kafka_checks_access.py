"""Contexts, logins and tokens: made once, kept as long as they are good, errors in words."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.integration.clusters.pki import Pki, make_pki
from tests.integration.clusters.tokens import (
    CLIENT_ID,
    CLIENT_SECRET,
    TokenIssuer,
    token_endpoint,
)

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.access import SaslConfig, SaslMechanism, TlsConfig, TokenEndpoint
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.tokens import PAUSE_S, TokenFile, TokenProvider
from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.tls import TlsFiles, TlsSettings

BEARER = SaslConfig(SaslMechanism.OAUTHBEARER)


@dataclass
class SetClock:
    """A clock that stands where it is set."""

    at: float = 1_000.0

    def now(self) -> Instant:
        """Return where it stands."""
        return Instant(self.at, self.at)

    async def sleep(self, seconds: float) -> None:
        """Is not expected."""
        raise AssertionError(seconds)


@dataclass
class Provider:
    """A token endpoint that answers what it is told; it keeps what it was asked."""

    status: int = 200
    body: bytes = b""
    asked: list[tuple[str, str]] = field(default_factory=list)
    hold: threading.Event | None = None

    def give(self, token: str, **more: Any) -> None:
        """Answer with a token from now on."""
        self.status = 200
        self.body = json.dumps({"access_token": token, **more}).encode()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve; yields the address."""
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                told.asked.append((self.headers.get("Authorization", ""), form))
                if told.hold is not None:
                    told.hold.wait(10)
                self.send_response(told.status)
                self.send_header("Content-Length", str(len(told.body)))
                self.end_headers()
                self.wfile.write(told.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def provider() -> Provider:
    """An endpoint."""
    return Provider()


@pytest.fixture
def url(provider: Provider) -> Iterator[str]:
    """Where it is."""
    with provider.serving() as address:
        yield address


@pytest.fixture
def clock() -> SetClock:
    """A clock of the test's own."""
    return SetClock()


def endpoint(url: str) -> TokenEndpoint:
    """Return an endpoint with credentials."""
    return TokenEndpoint(url, "client id", Secret("s3:cret&"), scope="kafka read")


@pytest.fixture
def source(url: str, clock: SetClock) -> TokenProvider:
    """The client of the endpoint."""
    return TokenProvider(endpoint(url), None, clock)


async def refused(source: TokenProvider | TokenFile, *words: str) -> None:
    """Fetch in vain."""
    with pytest.raises(kafka.KafkaSetupError) as caught:
        await source.fetch()
    text = str(caught.value)
    assert [word for word in words if word not in text] == [], text
    assert "s3" not in text


def test_equal_settings_share_what_they_remember() -> None:
    """The same TLS files are one context for all checks, the same user is one login."""
    access, other = Access(), Access()
    tls = TlsConfig(ca_file="/ca.pem", server_name="a")
    assert access.tls_context(tls) is access.tls_context(replace(tls, server_name="b"))
    assert access.tls_context(tls) is not access.tls_context(replace(tls, verify=False))
    assert access.tls_context(tls) is not other.tls_context(tls)
    scram = SaslConfig(SaslMechanism.SCRAM_SHA_512, "u", Secret("p"))
    assert access.login(scram) is access.login(replace(scram))
    assert access.login(scram) is not access.login(replace(scram, password=Secret("q")))
    assert (access.tls_context(None), access.login(None)) == (None, None)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (SaslConfig(SaslMechanism.PLAIN, "u", Secret("p")), kafka.PlainLogin),
        (SaslConfig(SaslMechanism.SCRAM_SHA_256, "u", Secret("p")), kafka.ScramLogin),
        (SaslConfig(SaslMechanism.SCRAM_SHA_512, "u", Secret("p")), kafka.ScramLogin),
        (replace(BEARER, token=Secret("t")), kafka.BearerLogin),
        (replace(BEARER, token_file="/t"), kafka.BearerLogin),
        (replace(BEARER, token_endpoint=endpoint("https://i.test")), kafka.BearerLogin),
        (SaslConfig(SaslMechanism.GSSAPI), kafka.KerberosLogin),
    ],
)
def test_each_mechanism_has_its_login(config: SaslConfig, kind: type[kafka.SaslLogin]) -> None:
    """What is configured decides the login, and the login the mechanism that is asked for."""
    login = Access().login(config)
    assert type(login) is kind
    assert login is not None
    assert login.mechanism == config.mechanism


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (SaslConfig(SaslMechanism.PLAIN, "u"), "PLAIN needs username and password"),
        (SaslConfig(SaslMechanism.SCRAM_SHA_512), "SCRAM-SHA-512 needs username and password"),
        (BEARER, "token, token_file or token_endpoint"),
    ],
)
def test_what_is_missing_is_named(config: SaslConfig, words: str) -> None:
    """Half a login is an error of the setting, before anybody is asked."""
    with pytest.raises(kafka.KafkaSetupError, match=words):
        Access().login(config)


async def test_a_token_file_is_read_at_each_login(tmp_path: Path) -> None:
    """Whoever keeps the file fresh is followed; a missing or empty file is named."""
    path = tmp_path / "token"
    source = TokenFile(str(path))
    await refused(source, f"sasl.token_file {path} cannot be read: No such file")
    path.write_text("first\n")
    assert (await source.fetch()).reveal() == "first"
    path.write_text("second")
    assert (await source.fetch()).reveal() == "second"
    path.write_text("\n")
    await refused(source, "is empty")


async def test_a_provider_is_asked_with_our_credentials(
    provider: Provider, source: TokenProvider
) -> None:
    """One POST: the grant and the scope in the form, id and secret encoded in the header."""
    provider.give("abc", expires_in=100)
    assert (await source.fetch()).reveal() == "abc"
    ((header, form),) = provider.asked
    assert form == "grant_type=client_credentials&scope=kafka+read"
    assert header.startswith("Basic ")
    assert base64.b64decode(header[6:]) == b"client+id:s3%3Acret%26"


async def test_a_token_is_kept_for_most_of_its_life(
    provider: Provider, source: TokenProvider, clock: SetClock
) -> None:
    """A token of 100 s is used for 75 s, so that a renewed session begins with another one."""
    provider.give("first", expires_in=100)
    await source.fetch()
    provider.give("second", expires_in=100)
    clock.at += 74
    assert (await source.fetch()).reveal() == "first"
    clock.at += 2
    assert (await source.fetch()).reveal() == "second"
    assert len(provider.asked) == 2


async def test_a_token_that_a_node_refused_is_not_used_again(
    provider: Provider, source: TokenProvider, clock: SetClock
) -> None:
    """After a refusal another token is fetched, but not at each look."""
    provider.give("first", expires_in=100)
    await source.fetch()
    provider.give("second", expires_in=100)
    source.forget()
    assert (await source.fetch()).reveal() == "first"
    clock.at += PAUSE_S + 1
    source.forget()
    assert (await source.fetch()).reveal() == "second"


async def test_all_who_want_a_token_wait_for_one_answer(
    provider: Provider, source: TokenProvider
) -> None:
    """Many logins at once are one question; who gives up loses the answer to nobody."""
    provider.give("abc", expires_in=100)
    provider.hold = threading.Event()
    waiting = [asyncio.create_task(source.fetch()) for _ in range(5)]
    while not provider.asked:
        await asyncio.sleep(0)
    waiting[0].cancel()
    provider.hold.set()
    got = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(got[0], asyncio.CancelledError)
    assert {one.reveal() for one in got[1:] if isinstance(one, Secret)} == {"abc"}
    assert (await source.fetch()).reveal() == "abc"
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b'{"error":"invalid_client"}', "HTTP 401 (invalid_client); look at client_id"),
        (400, b'{"error":"x","error_description":"no scope"}', "HTTP 400 (x no scope)"),
        (500, b"<html>", "HTTP 500 without JSON; is it a token endpoint?"),
        (200, b"[]", "HTTP 200 without JSON"),
        (200, b"{}", "gave no access_token"),
        (200, b'{"access_token":7}', "gave no access_token"),
        (200, b"x" * 70_000, "too long"),
        (302, b"", "HTTP 302"),
    ],
)
async def test_a_refusal_is_told_in_words(
    provider: Provider, source: TokenProvider, status: int, body: bytes, words: str
) -> None:
    """What the endpoint says comes with what to do, without the secret."""
    provider.status, provider.body = status, body
    await refused(source, words, "token endpoint http://127.0.0.1:")


async def test_a_provider_that_failed_has_a_pause(
    provider: Provider, source: TokenProvider, clock: SetClock
) -> None:
    """Each look says what is wrong, and the endpoint is asked again after a while only."""
    provider.status, provider.body = 503, b"{}"
    for _ in range(3):
        await refused(source, "HTTP 503")
    assert len(provider.asked) == 1
    clock.at += PAUSE_S + 0.1
    provider.give("abc")
    assert (await source.fetch()).reveal() == "abc"


async def test_a_secret_goes_over_tls_only(clock: SetClock) -> None:
    """Another host is not asked without TLS."""
    source = TokenProvider(endpoint("http://issuer.test/token"), None, clock)
    await refused(source, "not asked", "use https")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of all kinds."""
    return make_pki(tmp_path_factory.mktemp("pki") / "pki")


async def test_a_provider_is_asked_in_tls(pki: Pki) -> None:
    """The endpoint's certificate is checked by the endpoint's own TLS settings."""
    issuer = TokenIssuer()
    with token_endpoint(issuer, "healer", pki.server_context()) as served:
        good = TokenEndpoint(
            served.url, CLIENT_ID, Secret(CLIENT_SECRET), tls=TlsConfig(ca_file=str(pki.ca))
        )
        login = Access().login(replace(BEARER, token_endpoint=good))
        assert login is not None
        conversation = login.converse("any")
        assert (await anext(conversation)).startswith(b"n,,\x01auth=Bearer eyJ")
        await conversation.aclose()
        stranger = TlsFiles(TlsSettings(ca_file=str(pki.foreign_ca)))
        source = TokenProvider(good, stranger, SetClock())
        await refused(source, "cannot be asked", "tls.ca_file")
        gone = TlsFiles(TlsSettings(ca_file="/nowhere/ca.pem"))
        await refused(TokenProvider(good, gone, SetClock()), "/nowhere/ca.pem")
        wrong = replace(good, client_secret=Secret("s3-wrong"))
        trusting = Access().tls_context(good.tls)
        await refused(TokenProvider(wrong, trusting, SetClock()), "invalid_client")
        assert (served.given, served.refused) == (1, 1)


async def test_a_provider_that_is_gone_is_told(provider: Provider, clock: SetClock) -> None:
    """Nobody there: the address and the cause are in the text."""
    with provider.serving() as url:
        pass
    await refused(TokenProvider(endpoint(url), None, clock), "cannot be asked", url)
