"""Mails over real SMTP on loopback: what arrives, and what each answer of the server means."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.notification.fake_outbox import (
    FakeOutbox,
    inline,
    make_notice,
    make_notification,
)
from tests.unit.notification.smtp_catcher import Catcher, catching
from tests.unit.notification.virtual_clock import START, VirtualClock

from kafka_self_healing.errors import DeliveryError
from kafka_self_healing.notification import DeliveryQueue, EmailNotifier, NotificationService
from kafka_self_healing.secret import Secret

PASSWORD = "correct horse"
LETTER = NotificationService().compose(make_notice(at=START, summary="node 2 is gone → start"))


def notifier(port: int, **changes: Any) -> EmailNotifier:
    """Make a notifier for the catcher."""
    settings: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "sender": "Kafka <healer@lab.test>",
        "recipients": ["ops@lab.test", "dba@lab.test"],
        "timeout_s": 10.0,
        "hello_name": "healer.lab.test",
    }
    return EmailNotifier(**{**settings, **changes})


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def failure_of(channel: EmailNotifier) -> DeliveryError:
    """Deliver, and return the error that it must raise."""
    with pytest.raises(DeliveryError) as caught:
        await channel.deliver(LETTER)
    return caught.value


async def test_what_arrives() -> None:
    """One mail, to all recipients, with every header that people, filters and programs need."""
    catcher = Catcher()
    async with catching(catcher) as port:
        await notifier(port).deliver(LETTER)

    (mail,) = catcher.mails
    assert mail["From"] == "Kafka <healer@lab.test>"
    assert mail["To"] == "ops@lab.test, dba@lab.test"
    assert catcher.envelopes == [["ops@lab.test", "dba@lab.test"]]
    assert mail["Subject"] == "[lab] FAILURE PROCESS_GONE 2: node 2 is gone → start"
    assert mail["Message-ID"] == f"<{LETTER.id}@lab.test>"
    assert mail["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Kafka-Self-Healing-Incident"] == "I1"
    assert mail["X-Kafka-Self-Healing-Cluster"] == "lab"
    assert mail["X-Kafka-Self-Healing-Condition"] == "PROCESS_GONE"
    assert mail["X-Kafka-Self-Healing-Kind"] == "failure"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().replace("\r\n", "\n") == LETTER.body
    assert catcher.hello_names == ["healer.lab.test"]


async def test_mails_of_an_incident_belong_together() -> None:
    """Failure and recovery have ids of their own and refer to the same incident."""
    channel = notifier(25)
    other = replace(LETTER, id="0" * 32)
    elsewhere = replace(LETTER, notice=replace(LETTER.notice, incident="I2"))

    assert channel.message(other)["Message-ID"] != channel.message(LETTER)["Message-ID"]
    assert channel.message(other)["References"] == channel.message(LETTER)["References"]
    assert channel.message(elsewhere)["References"] != channel.message(LETTER)["References"]


async def test_what_the_cluster_says_makes_no_header() -> None:
    """Line breaks in names that come from outside do not add headers."""
    notice = replace(LETTER.notice, cluster="lab\r\nBcc: all@lab.test", incident="1\n2")
    letter = NotificationService().compose(notice)

    mail = notifier(25).message(letter)

    assert mail["Bcc"] is None
    assert mail["X-Kafka-Self-Healing-Incident"] == "1 2"


@pytest.mark.parametrize(
    "answer",
    ["450 4.2.0 mailbox busy", "451 4.7.1 greylisted, come back", "421 4.3.2 closing"],
)
async def test_not_now(answer: str) -> None:
    """4xx is transient, the server's words are kept, and the next try sends the very same mail."""
    catcher = Catcher(data_answers=[answer, "250 OK", "250 OK"])
    async with catching(catcher) as port:
        channel = notifier(port)
        error = await failure_of(channel)
        await channel.deliver(LETTER)
        await channel.deliver(LETTER)

    assert error.transient
    assert f"127.0.0.1:{port}: answered {answer}" in str(error)
    first, second = catcher.raw
    assert first == second


async def test_never() -> None:
    """5xx is permanent."""
    async with catching(Catcher(data_answers=["554 5.7.1 spam"])) as port:
        error = await failure_of(notifier(port))

    assert not error.transient
    assert "554 5.7.1 spam" in str(error)


async def test_one_recipient_is_greylisted() -> None:
    """The others have it and do not get it twice; the retry goes to the missing one alone."""
    catcher = Catcher(recipient_answers={"dba@lab.test": ["451 4.7.1 greylisted"]})
    async with catching(catcher) as port:
        channel = notifier(port)
        error = await failure_of(channel)
        await channel.deliver(LETTER)

    assert error.transient
    assert "refused for dba@lab.test: 451 4.7.1 greylisted" in str(error)
    assert catcher.envelopes == [["ops@lab.test"], ["dba@lab.test"]]
    assert catcher.mails[0]["Message-ID"] == catcher.mails[1]["Message-ID"]


async def test_one_recipient_does_not_exist() -> None:
    """The others have it; that somebody is missing is a permanent error and names them."""
    catcher = Catcher(recipient_answers={"dba@lab.test": ["550 5.1.1 no such user"]})
    async with catching(catcher) as port:
        error = await failure_of(notifier(port))

    assert not error.transient
    assert "dba@lab.test: 550 5.1.1 no such user" in str(error)
    assert catcher.envelopes == [["ops@lab.test"]]


async def test_no_recipient_is_taken() -> None:
    """All refused: transient if only one of them may be taken later."""
    catcher = Catcher(
        recipient_answers={
            "ops@lab.test": ["550 5.1.1 no such user"],
            "dba@lab.test": ["450 4.2.0 busy"],
        }
    )
    async with catching(catcher) as port:
        error = await failure_of(notifier(port))

    assert error.transient
    assert catcher.mails == []


async def test_nobody_listens() -> None:
    """A refused connection is transient and names the server."""
    port = free_port()

    error = await failure_of(notifier(port))

    assert error.transient
    assert f"127.0.0.1:{port}" in str(error)


@asynccontextmanager
async def silent_server(greeting: bytes = b"") -> AsyncIterator[int]:
    """Accept connections, say at most `greeting`, then nothing."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(greeting)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in writers:
            writer.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("greeting", [b"", b"220 hello\r\n", b"220-and so on\r\n"])
async def test_a_server_that_falls_silent(greeting: bytes) -> None:
    """A greeting, or an answer, that never comes ends at the deadline of the whole delivery."""
    loop = asyncio.get_running_loop()
    async with silent_server(greeting) as port:
        began = loop.time()
        error = await failure_of(notifier(port, timeout_s=0.2))

    assert error.transient
    assert "no answer within 0.2 s" in str(error)
    assert loop.time() - began < 1.0


async def test_a_server_that_is_none() -> None:
    """A port that speaks something else is transient: it may be in the middle of a change."""
    async with silent_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        error = await failure_of(notifier(port, timeout_s=0.5))

    assert error.transient


async def test_the_farewell_does_not_matter() -> None:
    """A mail that was accepted is delivered even if the server never says goodbye."""

    received: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            if line == b"QUIT\r\n":
                writer.close()
                return
            if line == b"DATA\r\n":
                writer.write(b"354 go on\r\n")
                received.append(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"250 OK\r\n")

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        await notifier(server.sockets[0].getsockname()[1]).deliver(LETTER)

    assert [LETTER.id.encode() in mail for mail in received] == [True]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_login() -> None:
    """The right password is taken."""
    catcher = Catcher()
    async with catching(catcher, login=("healer", PASSWORD)) as port:
        await notifier(port, username="healer", password=Secret(PASSWORD)).deliver(LETTER)

    assert len(catcher.mails) == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_login_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password is permanent, says what to check, and is shown nowhere."""
    caplog.set_level("DEBUG")
    async with catching(Catcher(), login=("healer", PASSWORD)) as port:
        channel = notifier(port, username="healer", password=Secret("wrong horse"))
        error = await failure_of(channel)

    assert not error.transient
    assert "login refused for user 'healer' (535 5.7.8): check username and password" in str(error)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("kafka_self_healing")]
    assert "wrong horse" not in str(error) + repr(vars(channel)) + "".join(ours)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"starttls": True}, "STARTTLS"), ({"username": "healer", "password": Secret("x")}, "AUTH")],
)
async def test_what_is_configured_is_not_offered(changes: dict[str, Any], words: str) -> None:
    """Without STARTTLS or AUTH at the server nothing is sent in the clear: permanent."""
    catcher = Catcher()
    async with catching(catcher) as port:
        error = await failure_of(notifier(port, **changes))

    assert not error.transient
    assert words in str(error)
    assert catcher.mails == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
            f" -subj /CN=catcher -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}"
        ).split(),
        check=True,
        capture_output=True,
    )
    return cert, key


async def test_starttls(certificate: tuple[Path, Path]) -> None:
    """The mail goes over TLS when the certificate is trusted."""
    cert, key = certificate
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert, key)
    catcher = Catcher()
    async with catching(catcher, tls=server_side) as port:
        trusting = ssl.create_default_context(cafile=str(cert))
        await notifier(port, starttls=True, tls_context=trusting).deliver(LETTER)

    assert catcher.encrypted == [True]


async def test_starttls_with_a_stranger(certificate: tuple[Path, Path]) -> None:
    """By default the certificate is verified: nothing is sent to one that is not trusted."""
    cert, key = certificate
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(cert, key)
    catcher = Catcher()
    async with catching(catcher, tls=server_side) as port:
        error = await failure_of(notifier(port, starttls=True))

    assert "TLS: CERTIFICATE_VERIFY_FAILED" in str(error)
    assert catcher.mails == []


async def test_the_queue_over_an_outage() -> None:
    """Nobody listens, then the server is up: everything arrives once and in order."""
    clock, outbox, catcher, port = VirtualClock(), FakeOutbox(), Catcher(), free_port()
    names = [f"N{n}" for n in range(1, 6)]
    outbox.put([make_notification(name, at=clock.now()) for name in names], ["email"])
    queue = DeliveryQueue(outbox, [notifier(port)], run=inline, clock=clock)
    task = asyncio.create_task(queue.run())
    await recorded(outbox, 1)
    async with catching(catcher, port=port):
        await clock.advance(10.0)
        await recorded(outbox, 6)
    task.cancel()
    await asyncio.wait([task])

    assert outbox.outcomes("email")[0] == ("N1", "retry")
    assert outbox.delivered("email") == names
    assert [mail["Message-ID"] for mail in catcher.mails] == [f"<{n}@lab.test>" for n in names]


async def test_the_queue_and_a_moody_server() -> None:
    """Greylisted, then taken; refused for good; and the next one: each ends as it should."""
    clock, outbox = VirtualClock(), FakeOutbox()
    catcher = Catcher(data_answers=["451 4.7.1 greylisted", "250 OK", "550 5.7.1 no", "250 OK"])
    outbox.put([make_notification(f"N{n}", at=clock.now()) for n in (1, 2, 3)], ["email"])
    async with catching(catcher) as port:
        queue = DeliveryQueue(outbox, [notifier(port)], run=inline, clock=clock)
        task = asyncio.create_task(queue.run())
        await recorded(outbox, 1)
        await clock.advance(10.0)
        await recorded(outbox, 4)
        task.cancel()
        await asyncio.wait([task])

    assert outbox.outcomes("email") == [
        ("N1", "retry"),
        ("N1", "delivered"),
        ("N2", "dead"),
        ("N3", "delivered"),
    ]
    assert [mail["Message-ID"] for mail in catcher.mails] == ["<N1@lab.test>", "<N3@lab.test>"]


async def recorded(outbox: FakeOutbox, count: int) -> None:
    """Wait until `count` tries are recorded; sockets take real, if little, time."""
    async with asyncio.timeout(10.0):
        while len(outbox.recorded) < count:
            outbox.changed.clear()
            await outbox.changed.wait()
