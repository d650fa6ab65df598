"""CertificateMonitoringPlugin against listeners with good and with faulty certificates."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from tests.unit.monitoring.fake_eyes import make_cluster
from tests.unit.monitoring.tls_listener import (
    HOST,
    Signer,
    authority,
    issue,
    tls_listener,
    write_ca,
)

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import LocalHost
from kafka_self_healing.model.access import (
    JmxAccess,
    ListenerAccess,
    TlsConfig,
    ZooKeeperAccess,
)
from kafka_self_healing.model.evidence import (
    CertificateFact,
    CheckResult,
    Kind,
    ListenerCertificate,
    Outcome,
)
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.monitoring.checks.certificate import (
    CertificateMonitoringPlugin,
    described,
)
from kafka_self_healing.monitoring.checks.handshake import first_certificate
from kafka_self_healing.monitoring.context import LookContext

OLD, NEW = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def root() -> Signer:
    """The authority that we trust."""
    return authority("ours")


@pytest.fixture
def ca(root: Signer, tmp_path: Path) -> Path:
    """Its certificate."""
    return write_ca(root, tmp_path / "ca.pem")


def node(port: int, tls: TlsConfig) -> NodeConfig:
    """Return a broker with one TLS listener."""
    return NodeConfig(
        "1", frozenset({Role.BROKER}), host=HOST, kafka_port=port, kafka=ListenerAccess(tls)
    )


async def see(target: NodeConfig, timeout_s: float = 10.0) -> CheckResult:
    """Look once."""
    clock = SystemClock()
    context = LookContext(
        kind=Kind.CERTIFICATE,
        cluster=make_cluster(),
        timeout_s=timeout_s,
        clock=clock,
        logger=logging.getLogger("test"),
        host=LocalHost(clock),
        service=None,
        on_hint=lambda why: None,
    )
    (result,) = await CertificateMonitoringPlugin().check(target, context)
    return result


async def shown(target: NodeConfig) -> ListenerCertificate:
    """Return the only certificate that a look shows."""
    result = await see(target)
    assert (result.outcome, result.error) == (Outcome.ANSWERED, "")
    assert isinstance(result.fact, CertificateFact)
    assert result.fact.listeners is not None
    (one,) = result.fact.listeners
    return one


@pytest.mark.parametrize("newest", [OLD, NEW])
async def test_good_certificate(
    root: Signer, ca: Path, tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    """A certificate that clients accept has no problem, and its days are counted."""
    with tls_listener(issue(root, tmp_path / "node.pem"), newest=newest) as port:
        one = await shown(node(port, TlsConfig(ca_file=str(ca))))
    assert (one.listener, one.address) == ("kafka", f"{HOST}:{port}")
    assert (one.subject, one.issuer, one.problem) == ("CN=node", "CN=ours", "")
    assert one.days_left == pytest.approx(30, abs=0.1)
    assert one.not_after == pytest.approx(SystemClock().now().utc_s + 30 * 86400, abs=3600)


@pytest.mark.parametrize("newest", [OLD, NEW])
@pytest.mark.parametrize(
    ("fault", "said", "days"),
    [
        ({"days": (-30, -2)}, "expired", -2),
        ({"days": (2, 30)}, "not valid yet", 30),
        ({"hosts": ("elsewhere.test",)}, f"not made out for '{HOST}'", 30),
        ({"weak": True}, "key is too short", 30),
    ],
)
async def test_faulty_certificates_are_read_all_the_same(
    root: Signer, ca: Path, tmp_path: Path, newest: ssl.TLSVersion, fault: dict[str, object],
    said: str, days: float,
) -> None:  # fmt: skip
    """Expired, not yet valid, of another name, weak: each in words, with its days."""
    path = issue(root, tmp_path / "node.pem", **fault)  # type: ignore[arg-type]
    with tls_listener(path, newest=newest) as port:
        one = await shown(node(port, TlsConfig(ca_file=str(ca))))
    assert one.problem is not None
    assert said in one.problem
    assert one.days_left == pytest.approx(days, abs=0.1)


@pytest.mark.parametrize("newest", [OLD, NEW])
async def test_unknown_authority(ca: Path, tmp_path: Path, newest: ssl.TLSVersion) -> None:
    """A certificate of an authority that is not ours, which is told from its own."""
    path = issue(authority("foreign"), tmp_path / "node.pem")
    with tls_listener(path, newest=newest) as port:
        one = await shown(node(port, TlsConfig(ca_file=str(ca))))
    assert one.issuer == "CN=foreign"
    assert one.days_left == pytest.approx(30, abs=0.1)
    assert one.problem is not None
    assert "authority that signed" in one.problem


async def test_missing_intermediate(root: Signer, ca: Path, tmp_path: Path) -> None:
    """A node that does not send what stands between has an incomplete chain."""
    between = authority("between", root)
    whole = issue(between, tmp_path / "whole.pem")
    with tls_listener(whole) as port:
        assert (await shown(node(port, TlsConfig(ca_file=str(ca))))).problem == ""
    cut = issue(between, tmp_path / "cut.pem", with_chain=False)
    with tls_listener(cut) as port:
        one = await shown(node(port, TlsConfig(ca_file=str(ca))))
    assert one.problem is not None
    assert "incomplete chain" in one.problem
    assert one.issuer == "CN=between"


@pytest.mark.parametrize("newest", [OLD, NEW])
@pytest.mark.parametrize("fault", [{}, {"days": (-30, -2)}])
async def test_listener_that_wants_our_certificate_shows_its_own(
    root: Signer, ca: Path, tmp_path: Path, newest: ssl.TLSVersion, fault: dict[str, object]
) -> None:
    """Without a client certificate of ours the node's own can still be read and judged."""
    path = issue(root, tmp_path / "node.pem", **fault)  # type: ignore[arg-type]
    with tls_listener(path, wants_client_of=ca, newest=newest) as port:
        one = await shown(node(port, TlsConfig(ca_file=str(ca))))
    assert one.subject == "CN=node"
    assert one.problem is not None
    assert ("expired" in one.problem) is bool(fault)


async def test_without_verification_only_the_certificate_itself_is_judged(tmp_path: Path) -> None:
    """Whoever trusts anybody is still told of an expired and of a weak certificate."""
    foreign, trusting = authority("foreign"), TlsConfig(verify=False)
    for fault, said in (({}, ""), ({"days": (-9, -2)}, "expired"), ({"weak": True}, "1024 bits")):
        path = issue(foreign, tmp_path / "node.pem", **fault)
        with tls_listener(path) as port:
            one = await shown(node(port, trusting))
        assert one.problem is not None
        assert said in one.problem
        assert bool(one.problem) is bool(said)


async def test_our_own_certificate_is_read_too(root: Signer, ca: Path, tmp_path: Path) -> None:
    """The file that we show has its days as well; a broken one says so."""
    own = issue(root, tmp_path / "own.pem", days=(-9, 5))
    with tls_listener(issue(root, tmp_path / "node.pem")) as port:
        result = await see(node(port, TlsConfig(ca_file=str(ca), cert_file=str(own))))
    assert isinstance(result.fact, CertificateFact)
    assert result.fact.own is not None
    (ours,) = result.fact.own
    assert (ours.listener, ours.address, ours.problem) == ("ours for kafka", str(own), "")
    assert ours.days_left == pytest.approx(5, abs=0.1)


@asynccontextmanager
async def answering(said: bytes) -> AsyncIterator[int]:
    """Serve something that is no TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (b"HTTP/1.1 400 Bad\r\n\r\n", Outcome.TLS),
        (b"\x15\x03\x03\x00\x02\x02\x28", Outcome.TLS),
        (b"x" * 100, Outcome.TLS),
        (b"\x16\x03\x03\xff\xff" * 100_000, Outcome.TLS),
    ],
)
async def test_what_is_no_tls(ca: Path, said: bytes, outcome: Outcome) -> None:
    """Plain text, an alert, garbage, a flood: an outcome with words, never a fact."""
    async with answering(said) as port:
        result = await see(node(port, TlsConfig(ca_file=str(ca))))
    assert (result.outcome, result.fact) == (outcome, None)
    assert f"kafka {HOST}:{port}: " in result.error


async def test_cut_is_not_taken_for_an_answer(ca: Path) -> None:
    """A connection that is closed in the handshake proves nothing about the node."""
    async with answering(b"") as port:
        result = await see(node(port, TlsConfig(ca_file=str(ca))))
    assert result.outcome in {Outcome.CLOSED, Outcome.RESET}


async def test_hung_listener_is_timed_out(ca: Path) -> None:
    """A process that is frozen is silent, not "bad TLS"."""
    with socket.create_server((HOST, 0)) as silent:
        target = node(silent.getsockname()[1], TlsConfig(ca_file=str(ca)))
        result = await see(target, timeout_s=0.3)
    assert result.outcome is Outcome.TIMED_OUT
    assert "handshake" in result.error


async def test_nobody_there(ca: Path) -> None:
    """A refused port and a name that does not resolve."""
    with socket.create_server((HOST, 0)) as closing:
        port = closing.getsockname()[1]
    target = node(port, TlsConfig(ca_file=str(ca)))
    assert (await see(target)).outcome is Outcome.REFUSED
    lost = replace(target, host="no.such.invalid")
    assert (await see(lost)).outcome is Outcome.UNREACHABLE


async def test_files_of_our_own_that_cannot_be_read(tmp_path: Path) -> None:
    """Nothing is asked, and the words name the file."""
    result = await see(node(1, TlsConfig(ca_file=str(tmp_path / "none.pem"))))
    assert result.outcome is Outcome.PROTOCOL
    assert "none.pem" in result.error


async def test_all_listeners_of_a_node(root: Signer, ca: Path, tmp_path: Path) -> None:
    """Each TLS listener is in the fact; one that cannot be read is there as not known."""
    tls = TlsConfig(ca_file=str(ca))
    with tls_listener(issue(root, tmp_path / "node.pem")) as port:
        with socket.create_server((HOST, 0)) as closing:
            closed = closing.getsockname()[1]
        target = NodeConfig(
            "1",
            frozenset({Role.BROKER, Role.CONTROLLER, Role.ENSEMBLE}),
            host=HOST,
            kafka_port=port,
            controller_port=port,
            zookeeper_port=port,
            jmx_port=port,
            kafka=ListenerAccess(tls),
            controller=ListenerAccess(tls),
            jmx=JmxAccess(tls=tls),
            zookeeper=ZooKeeperAccess(tls=tls, admin_port=closed, admin_tls=tls),
        )
        result = await see(target)
    assert isinstance(result.fact, CertificateFact)
    assert result.fact.listeners is not None
    problems = {one.listener: one.problem for one in result.fact.listeners}
    assert problems == {"kafka": "", "controller": "", "zookeeper": "", "admin": None, "jmx": ""}
    assert f"admin {HOST}:{closed}: " in result.error


def test_only_tls_listeners_are_looked_at() -> None:
    """A plain node is not asked; a JMX registry without TLS leaves the RMI port."""
    plugin, tls = CertificateMonitoringPlugin(), TlsConfig()
    plain = NodeConfig("1", frozenset({Role.BROKER}), kafka_port=9092, jmx_port=9999)
    assert not plugin.can_ask(plain, Kind.CERTIFICATE)
    assert plugin.can_ask(replace(plain, kafka=ListenerAccess(tls)), Kind.CERTIFICATE)
    hidden = replace(plain, jmx=JmxAccess(tls=tls, registry_tls=False))
    assert not plugin.can_ask(hidden, Kind.CERTIFICATE)
    pinned = replace(plain, jmx=JmxAccess(tls=tls, registry_tls=False, rmi_port=9998))
    assert plugin.can_ask(pinned, Kind.CERTIFICATE)
    assert plugin.interval_s(plain, Kind.CERTIFICATE) == 3600.0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_wire_bytes_of_any_sort(records: bytes, der: bytes) -> None:
    """Whatever is on the wire or in a certificate: bytes or None, and a problem in words."""
    seen = b"\x16\x03\x03" + len(records).to_bytes(2, "big") + b"\x0b" + records
    found = first_certificate(seen)
    assert found is None or found in records
    one = described(ListenerCertificate("kafka", "h:1"), der, "", 0.0)
    assert one.problem
