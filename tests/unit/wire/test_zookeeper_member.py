"""Words and AdminServer over sockets: every way in which a member can fail to answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.clusters.pki import Pki, make_pki
from tests.unit.wire.zookeeper_member import (
    HOST,
    Script,
    admin_answering,
    answering,
    member,
    recorded,
    sending,
    silent,
    tls_listener,
)

from kafka_self_healing.wire import zookeeper
from kafka_self_healing.wire.tls import TlsFiles, TlsSettings
from kafka_self_healing.wire.zookeeper import Endpoint

SOON_S = 0.3  # a limit that is meant to be reached
LONG_S = 10.0  # a limit that is not


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates for every wrong setting."""
    return make_pki(tmp_path_factory.mktemp("zookeeper") / "pki")


def serving(pki: Pki, *, wants_certificate: bool = False) -> ssl.SSLContext:
    """Return a member's TLS context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.broker)
    if wants_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pki.ca)
    return context


def client(pki: Pki, *, ca: Path | None = None, identity: Path | None = None) -> TlsFiles:
    """Return what makes our TLS context."""
    own = None if identity is None else str(identity)
    return TlsFiles(TlsSettings(ca_file=str(ca or pki.ca), cert_file=own))


@contextlib.contextmanager
def blocking_member(context: ssl.SSLContext, answer: bytes) -> Iterator[int]:
    """Serve TLS from a thread: asyncio's own server sends no alert when a handshake fails."""

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            plain.settimeout(LONG_S)
            with (
                plain,
                contextlib.suppress(OSError),
                context.wrap_socket(plain, server_side=True) as peer,
            ):
                peer.recv(4)
                peer.sendall(answer)

    with socket.create_server((HOST, 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(LONG_S)


async def test_words_are_asked_one_a_connection() -> None:
    """Each word has its answer, and a word that is not whitelisted its own error."""
    words = {name: recorded(f"{name}-leader") for name in ("srvr", "mntr")} | {"ruok": b"imok"}
    async with member(answering(words)) as port:
        endpoint = Endpoint(HOST, port)
        assert (await zookeeper.srvr(endpoint, timeout_s=LONG_S)).mode == "leader"
        assert (await zookeeper.mntr(endpoint, timeout_s=LONG_S)).whole("synced_followers") == 2
        assert await zookeeper.ruok(endpoint, timeout_s=LONG_S)
        with pytest.raises(zookeeper.ZooKeeperNotWhitelistedError, match=f"{HOST}:{port}: stat"):
            await zookeeper.stat(endpoint, timeout_s=LONG_S)
        with pytest.raises(zookeeper.ZooKeeperNotWhitelistedError, match="conf"):
            await zookeeper.conf(endpoint, timeout_s=LONG_S)


async def test_admin_server_answers_in_json() -> None:
    """The AdminServer gives the same replies as the words."""
    commands = {
        "srvr": recorded("admin-srvr-leader"),
        "monitor": recorded("admin-monitor-leader"),
    }
    async with member(admin_answering(commands)) as port:
        endpoint = Endpoint(HOST, port)
        reply = await zookeeper.admin_srvr(endpoint, timeout_s=LONG_S)
        assert (reply.mode, reply.version, reply.epoch) == ("leader", "3.8.4", 1)
        monitor = await zookeeper.admin_monitor(endpoint, timeout_s=LONG_S)
        assert (monitor.mode, monitor.whole("synced_followers")) == ("leader", 2)
        with pytest.raises(zookeeper.ZooKeeperUnsupportedError):
            await zookeeper.admin_ruok(endpoint, timeout_s=LONG_S)


async def test_admin_server_that_does_not_serve() -> None:
    """Without a quorum the replies say that it does not serve."""
    quiet = recorded("admin-srvr-not-serving")
    async with member(admin_answering(dict.fromkeys(("srvr", "monitor", "ruok"), quiet))) as port:
        endpoint = Endpoint(HOST, port)
        assert not (await zookeeper.admin_srvr(endpoint, timeout_s=LONG_S)).serving
        assert not (await zookeeper.admin_monitor(endpoint, timeout_s=LONG_S)).serving
        assert not await zookeeper.admin_ruok(endpoint, timeout_s=LONG_S)


async def test_tls_and_mutual_tls(pki: Pki) -> None:
    """Over TLS the answer is the same; a member that wants a certificate gets ours."""
    with blocking_member(serving(pki, wants_certificate=True), recorded("srvr-leader")) as port:
        endpoint = Endpoint(HOST, port, tls=client(pki, identity=pki.healer))
        assert (await zookeeper.srvr(endpoint, timeout_s=LONG_S)).mode == "leader"
        bare = Endpoint(HOST, port, tls=client(pki))
        with pytest.raises(zookeeper.ZooKeeperTlsError, match=r"set tls\.cert_file"):
            await zookeeper.srvr(bare, timeout_s=LONG_S)


async def test_server_name_counts_instead_of_the_host(pki: Pki) -> None:
    """`server_name` is the name that the certificate must bear."""
    async with member(answering({"srvr": recorded("srvr-leader")}), serving(pki)) as port:
        named = Endpoint(HOST, port, tls=client(pki), server_name="localhost")
        assert (await zookeeper.srvr(named, timeout_s=LONG_S)).serving
        other = Endpoint(HOST, port, tls=client(pki), server_name="elsewhere.test")
        with pytest.raises(zookeeper.ZooKeeperTlsError, match=r"elsewhere\.test"):
            await zookeeper.srvr(other, timeout_s=LONG_S)


async def test_unknown_authority_is_a_tls_error(pki: Pki) -> None:
    """A certificate that we do not trust is told as such."""
    async with member(answering({}), serving(pki)) as port:
        endpoint = Endpoint(HOST, port, tls=client(pki, ca=pki.foreign_ca))
        with pytest.raises(zookeeper.ZooKeeperTlsError, match=r"tls\.ca_file"):
            await zookeeper.srvr(endpoint, timeout_s=LONG_S)


async def test_files_of_our_own_say_nothing_about_the_member(tmp_path: Path) -> None:
    """A CA file that is not there is our setup's fault, and nothing is asked."""
    tls = TlsFiles(TlsSettings(ca_file=str(tmp_path / "none.pem")))
    with pytest.raises(zookeeper.ZooKeeperSetupError, match=r"none\.pem"):
        await zookeeper.srvr(Endpoint(HOST, 1, tls=tls), timeout_s=LONG_S)


async def test_plain_words_to_a_tls_port() -> None:
    """A TLS port waits for a fifth byte; our nudge makes it close, which a frozen process does not.

    (Recorded from a real 3.8.4: after four bytes nothing, after five an end without a byte.)
    """
    async with member(tls_listener) as port:
        with pytest.raises(zookeeper.ZooKeeperTlsError, match="wants TLS"):
            await zookeeper.srvr(Endpoint(HOST, port), timeout_s=2.0)


async def test_tls_to_a_plain_port_is_not_taken_for_an_answer(pki: Pki) -> None:
    """A plain member closes at a ClientHello, as a dying one does; only one answers in plain."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(4) == b"srvr":
            writer.write(recorded("srvr-leader"))

    async with member(plain) as port:
        with pytest.raises(zookeeper.ZooKeeperTlsError, match="remove tls"):
            await zookeeper.srvr(Endpoint(HOST, port, tls=client(pki)), timeout_s=LONG_S)
    async with member(sending(b"")) as port:
        with pytest.raises(zookeeper.ZooKeeperError, match="a process that ends") as caught:
            await zookeeper.srvr(Endpoint(HOST, port, tls=client(pki)), timeout_s=LONG_S)
    assert caught.value.outcome in {"closed", "reset"}


@pytest.mark.parametrize(
    ("script", "outcome", "said"),
    [
        (silent, "timed_out", "did not answer"),
        (sending(b"Zookeeper ver", linger=True), "timed_out", r"did not end \(after 13 bytes\)"),
        (sending(b""), "closed", "without an answer"),
        (sending(b"\x15\x03\x03\x00\x02\x02\x50"), "tls", "wants TLS"),
        (sending(b"HTTP/1.1 400 Bad\r\n\r\n"), "protocol", "HTTP"),
        (sending(recorded("srvr-leader")[:150]), "protocol", "srvr was answered"),
        (sending(b"x" * (zookeeper.MAX_ANSWER_BYTES + 1)), "protocol", "more than"),
    ],
)
async def test_each_failure_has_its_class(script: Script, outcome: str, said: str) -> None:
    """Silence, a cut, another protocol, too much: each is told with host and port."""
    async with member(script) as port:
        with pytest.raises(zookeeper.ZooKeeperError, match=said) as caught:
            await zookeeper.srvr(Endpoint(HOST, port), timeout_s=SOON_S)
    assert caught.value.outcome == outcome
    assert str(caught.value).startswith(f"{HOST}:{port}: ")


async def test_endless_drip_ends_with_the_time_limit() -> None:
    """A byte now and then does not extend the time."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"zk_")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with member(drip) as port:
        with pytest.raises(zookeeper.ZooKeeperTimedOutError, match="did not end"):
            await zookeeper.mntr(Endpoint(HOST, port), timeout_s=SOON_S)


async def test_hung_handshake_is_a_timeout(pki: Pki) -> None:
    """A process that is frozen before its TLS is not "bad TLS"."""
    async with member(silent) as port:
        with pytest.raises(zookeeper.ZooKeeperTimedOutError, match="no TLS handshake"):
            await zookeeper.srvr(Endpoint(HOST, port, tls=client(pki)), timeout_s=SOON_S)


async def test_nobody_there() -> None:
    """A refused port and a name that does not resolve."""
    async with member(silent) as port:
        pass
    with pytest.raises(zookeeper.ZooKeeperRefusedError):
        await zookeeper.srvr(Endpoint(HOST, port), timeout_s=LONG_S)
    with pytest.raises(zookeeper.ZooKeeperUnreachableError, match=r"no\.such\.invalid"):
        await zookeeper.srvr(Endpoint("no.such.invalid", 1), timeout_s=LONG_S)


async def test_reset_after_the_answer_keeps_the_answer() -> None:
    """A member that closes while our nudge is unread resets: what it said before counts."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        writer.write(recorded("srvr-leader"))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async with member(slow) as port:
        reply = await zookeeper.srvr(Endpoint(HOST, port), timeout_s=1.0)
    assert reply.mode == "leader"
