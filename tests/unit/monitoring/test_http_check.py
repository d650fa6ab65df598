"""HttpMonitoringPlugin against real HTTP servers on loopback, with and without TLS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from tests.unit.monitoring.fake_eyes import make_cluster
from tests.unit.monitoring.tls_listener import authority, issue, write_ca

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import LocalHost
from kafka_self_healing.model.access import HttpProbe, TlsConfig
from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    CustomFact,
    Kind,
    MetricFact,
    Outcome,
    ProbeState,
)
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.monitoring.checks.http import (
    MAX_BODY_BYTES,
    HttpMonitoringPlugin,
    place,
)
from kafka_self_healing.monitoring.checks.http_answer import at_pointer, judge, samples
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.secret import Secret

HOST = "127.0.0.1"
EXPORTER = """\
# HELP kafka_server_replicamanager_underreplicatedpartitions gauge
# TYPE kafka_server_replicamanager_underreplicatedpartitions gauge
kafka_server_replicamanager_underreplicatedpartitions 0.0
kafka_topic_lag{topic="orders",partition="0",} 3.0
kafka_topic_lag{topic="orders",partition="1"} 41.0 1700000000000
kafka_topic_lag{topic="with \\"quotes\\" and }",partition="0"} 7
kafka_topic_lag_max 1e3
kafka_idle NaN
"""
JOLOKIA = '{"request":{"a/b":1},"value":[{"state":"UP"},3],"status":200,"deep~":{"":null},"n":"7"}'
Script = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve `script`, which gets the head of each request; yields the port."""
    running: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            await script(head, reader, writer)
            await writer.drain()
        running.discard(task)
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


def saying(body: str | bytes, status: int = 200, headers: str = "") -> Script:
    """Return a script that answers one thing."""
    data = body.encode() if isinstance(body, str) else body

    async def script(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = f"Content-Length: {len(data)}\r\n"
        writer.write(f"HTTP/1.1 {status} X\r\n{length}{headers}\r\n".encode() + data)

    return script


def raw(data: bytes) -> Script:
    """Return a script that sends these bytes and closes."""

    async def script(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return script


async def never(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the question and say nothing."""
    await asyncio.Event().wait()


async def see(*probes: HttpProbe, timeout_s: float = 5.0) -> list[CheckResult]:
    """Look once at a node with these URLs."""
    clock = SystemClock()
    context = LookContext(
        kind=Kind.CUSTOM,
        cluster=make_cluster(),
        timeout_s=timeout_s,
        clock=clock,
        logger=logging.getLogger("test"),
        host=LocalHost(clock),
        service=None,
        on_hint=lambda why: None,
    )
    node = NodeConfig("1", frozenset({Role.BROKER}), http=probes)
    return list(await HttpMonitoringPlugin().check(node, context))


async def ask(script: Script, timeout_s: float = 5.0, **given: Any) -> CheckResult:
    """Return what a look at `script` brings."""
    async with serving(script) as port:
        probe = HttpProbe("probe", f"http://{HOST}:{port}/x", **given)
        (result,) = await see(probe, timeout_s=timeout_s)
    return result


def state_of(result: CheckResult) -> ProbeState | None:
    """Return the state of a result, which always has one."""
    assert isinstance(result.fact, CustomFact)
    return result.fact.state


async def test_good_answer() -> None:
    """An expected status is OK; the result bears the probe's name and what it stands for."""
    result = await ask(saying("fine"), stands_for=Kind.JVM)
    assert (result.observer, result.subject, result.kind) == (HEALER, "1", Kind.CUSTOM)
    assert (result.name, result.outcome, result.error) == ("probe", Outcome.ANSWERED, "")
    assert isinstance(result.fact, CustomFact)
    assert (result.fact.state, result.fact.text) == (ProbeState.OK, "status 200")
    assert result.fact.stands_for is Kind.JVM
    (took,) = result.fact.metrics or ()
    assert took.name == "time_s"
    assert took.value is not None
    assert 0 <= took.value < 5


@pytest.mark.parametrize(
    ("body", "given", "state", "said"),
    [
        ("", {"status": (204,)}, ProbeState.CRITICAL, "status 200, expected 204"),
        ("all UP", {"body": "UP"}, ProbeState.OK, "status 200"),
        ("DOWN", {"body": "UP"}, ProbeState.CRITICAL, "the text 'UP' does not occur"),
        (JOLOKIA, {"pointer": "/value/0/state", "equals": "UP"}, ProbeState.OK, "is 'UP'"),
        (JOLOKIA, {"pointer": "/value/0/state", "equals": "x"}, ProbeState.CRITICAL, "'x'"),
        (JOLOKIA, {"pointer": "/value/1", "at_least": 3}, ProbeState.OK, "is 3"),
        (JOLOKIA, {"pointer": "/value/1", "at_least": 4}, ProbeState.CRITICAL, "at least 4"),
        (JOLOKIA, {"pointer": "/value/1", "at_most": 2.5}, ProbeState.CRITICAL, "at most 2.5"),
        (JOLOKIA, {"pointer": "/value/1", "equals": 3.0}, ProbeState.OK, "is 3"),
        (JOLOKIA, {"pointer": "/n", "at_least": 7}, ProbeState.OK, "is '7'"),
        (JOLOKIA, {"pointer": "/value/0", "at_least": 1}, ProbeState.CRITICAL, "a number"),
        (JOLOKIA, {"pointer": "/request/a~1b"}, ProbeState.OK, "is 1"),
        (JOLOKIA, {"pointer": "/deep~0/"}, ProbeState.OK, "is None"),
        (JOLOKIA, {"pointer": "/value/2"}, ProbeState.UNKNOWN, "has nothing at"),
        (JOLOKIA, {"pointer": "/value/01"}, ProbeState.UNKNOWN, "has nothing at"),
        (JOLOKIA, {"pointer": "/status/x"}, ProbeState.UNKNOWN, "has nothing at"),
        ("true", {"pointer": "", "equals": True}, ProbeState.OK, "is True"),
        ("true", {"pointer": "", "equals": 1.0}, ProbeState.CRITICAL, "expected 1.0"),
        ("1", {"pointer": "", "equals": True}, ProbeState.CRITICAL, "expected True"),
        ("<html>", {"pointer": "/a"}, ProbeState.UNKNOWN, "no JSON"),
        ("[" * 100_000, {"pointer": "/a"}, ProbeState.UNKNOWN, "no JSON"),
        ("9" * 5_000, {"pointer": ""}, ProbeState.UNKNOWN, "no JSON"),
        (
            EXPORTER,
            {"metric": "kafka_server_replicamanager_underreplicatedpartitions", "at_most": 0},
            ProbeState.OK,
            "is 0.0",
        ),
        (EXPORTER, {"metric": "kafka_topic_lag", "at_most": 10}, ProbeState.CRITICAL, "is 41.0"),
        (EXPORTER, {"metric": 'kafka_topic_lag{partition="0"}', "at_most": 10}, ProbeState.OK, ""),
        (
            EXPORTER,
            {"metric": 'kafka_topic_lag{topic="with \\"quotes\\" and }"}', "equals": 7},
            ProbeState.OK,
            "is 7.0",
        ),
        (EXPORTER, {"metric": "kafka_topic_lag_max", "at_least": 1000}, ProbeState.OK, ""),
        (EXPORTER, {"metric": "kafka_idle", "at_least": 0}, ProbeState.UNKNOWN, "not a number"),
        (EXPORTER, {"metric": "kafka_absent"}, ProbeState.UNKNOWN, "no sample of"),
    ],
)  # fmt: skip
def test_what_an_answer_is_held_against(
    body: str, given: dict[str, Any], state: ProbeState, said: str
) -> None:
    """Status, text, JSON pointer and metric: right, wrong, and not readable are told apart."""
    fact = judge(HttpProbe("probe", "http://h/", **given), 200, body.encode(), 0.5)
    assert fact.text is not None
    assert (fact.state, said in fact.text) == (state, True), fact.text


def test_the_number_is_performance_data() -> None:
    """The value that was judged is a metric of the fact, by the name that it was asked by."""
    probe = HttpProbe("probe", "http://h/", metric="kafka_topic_lag", at_most=10)
    fact = judge(probe, 200, EXPORTER.encode(), 0.5)
    assert fact.metrics == (MetricFact("time_s", 0.5), MetricFact("kafka_topic_lag", 41.0))


def test_text_of_a_stranger_is_made_harmless() -> None:
    """Escapes in a value do not reach a terminal, and a long value is cut."""
    fact = judge(
        HttpProbe("p", "http://h/", pointer=""), 200, b'"\\u001b[31m' + b"x" * 999 + b'"', 0.0
    )
    assert fact.text is not None
    assert "\x1b" not in fact.text
    assert len(fact.text) <= 200


@pytest.mark.parametrize(
    ("script", "outcome", "state", "said"),
    [
        (saying("", 401), Outcome.AUTHENTICATION, ProbeState.UNKNOWN, "401"),
        (saying("", 403), Outcome.AUTHORISATION, ProbeState.UNKNOWN, "403"),
        (saying("", 301, "Location: http://no.such.invalid/\r\n"), Outcome.ANSWERED,
         ProbeState.CRITICAL, "status 301"),
        (raw(b""), Outcome.CLOSED, ProbeState.CRITICAL, "without an answer"),
        (raw(b"SSH-2.0-x\r\n\r\n"), Outcome.PROTOCOL, ProbeState.UNKNOWN, "no proper HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), Outcome.PROTOCOL,
         ProbeState.UNKNOWN, "no proper HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000), Outcome.PROTOCOL,
         ProbeState.UNKNOWN, "no proper HTTP"),
        (saying(gzip.compress(b"x"), headers="Content-Encoding: gzip\r\n"), Outcome.PROTOCOL,
         ProbeState.UNKNOWN, "compressed"),
        (saying(b"x" * (MAX_BODY_BYTES + 1)), Outcome.PROTOCOL, ProbeState.UNKNOWN, "longer than"),
    ],
)  # fmt: skip
async def test_bad_answers(script: Script, outcome: Outcome, state: ProbeState, said: str) -> None:
    """A missing right, a redirect, a cut, a flood, another protocol: told apart, with a state."""
    result = await ask(script, body="")
    assert (result.outcome, state_of(result)) == (outcome, state), result
    assert isinstance(result.fact, CustomFact)
    assert result.fact.text is not None
    assert said in result.fact.text


async def test_silence_and_drip_are_timed_out() -> None:
    """The time limit counts for the whole answer, and its words are not empty."""

    async def drip(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    for script in (never, drip):
        result = await ask(script, timeout_s=0.3, body="y")
        assert (result.outcome, state_of(result)) == (Outcome.TIMED_OUT, ProbeState.CRITICAL)
        assert "no whole answer" in result.error


async def test_nobody_there() -> None:
    """A refused port, a name that does not resolve, a URL that is none."""
    with socket.create_server((HOST, 0)) as closing:
        port = closing.getsockname()[1]
    results = await see(
        HttpProbe("refused", f"http://{HOST}:{port}/"),
        HttpProbe("lost", "http://no.such.invalid/"),
        HttpProbe("odd", "gopher://h/"),
        HttpProbe("bad", "http://h:port/"),
    )
    assert [(one.name, one.outcome) for one in results] == [
        ("refused", Outcome.REFUSED),
        ("lost", Outcome.UNREACHABLE),
        ("odd", Outcome.PROTOCOL),
        ("bad", Outcome.PROTOCOL),
    ]


async def test_logins_and_headers_are_sent() -> None:
    """Basic and bearer logins and own headers arrive; no result shows them."""
    heads: list[str] = []

    async def keep(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(head.decode())
        writer.write(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")

    async with serving(keep) as port:
        url = f"http://{HOST}:{port}/x?token=hidden"
        results = await see(
            HttpProbe("basic", url, username="u", password=Secret("hidden")),
            HttpProbe(
                "bearer",
                url,
                bearer=Secret("hidden"),
                headers={"X-Own": "yes"},
                secret_headers={"X-Key": Secret("hidden-key")},
            ),
        )
    lower = [head.lower() for head in heads]
    said = {head.split("authorization: ")[-1].split("\r\n")[0]: head for head in lower}
    wanted = base64.b64encode(b"u:hidden").decode().lower()
    assert set(said) == {f"basic {wanted}", "bearer hidden"}
    assert "x-own: yes" in said["bearer hidden"]
    assert "x-key: hidden-key" in said["bearer hidden"]
    assert "hidden" not in repr(results)


@pytest.mark.parametrize("secret", ["hid\nden", "hid\x00den", "hidé", "hid\ud800"])
async def test_login_that_cannot_be_sent_is_not_quoted(secret: str) -> None:
    """What is no header is refused on our side, without its text."""
    async with serving(saying("fine")) as port:
        url = f"http://{HOST}:{port}/"
        results = await see(
            HttpProbe("bearer", url, bearer=Secret(secret)),
            HttpProbe("header", url, secret_headers={"X-Key": Secret(secret)}),
            HttpProbe("basic", url, username="u", password=Secret(secret)),
        )
    assert "hid" not in repr(results)
    assert {one.outcome for one in results} <= {Outcome.PROTOCOL, Outcome.ANSWERED}


async def test_tls_is_checked_and_its_faults_are_named(tmp_path: Path) -> None:
    """HTTPS with our authority answers; a foreign one, another name and plain text are TLS."""
    root = authority("ours")
    ca, foreign = write_ca(root, tmp_path / "ca.pem"), write_ca(authority("x"), tmp_path / "x.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issue(root, tmp_path / "node.pem", hosts=("node.test",)))

    def blunt(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 X\r\n\r\n")
        writer.close()

    in_plain = await asyncio.start_server(blunt, HOST, 0)
    async with serving(saying("fine"), context) as port, in_plain:
        plain = in_plain.sockets[0].getsockname()[1]
        url = f"https://{HOST}:{port}/"
        results = await see(
            HttpProbe("good", url, tls=TlsConfig(ca_file=str(ca), server_name="node.test")),
            HttpProbe("foreign", url, tls=TlsConfig(ca_file=str(foreign))),
            HttpProbe("name", url, tls=TlsConfig(ca_file=str(ca))),
            HttpProbe("system", url),
            HttpProbe("file", url, tls=TlsConfig(ca_file=str(tmp_path / "none.pem"))),
            HttpProbe("plain", f"https://{HOST}:{plain}/", tls=TlsConfig(ca_file=str(ca))),
        )
    outcomes = {one.name: one.outcome for one in results}
    assert outcomes == {
        "good": Outcome.ANSWERED,
        "foreign": Outcome.TLS,
        "name": Outcome.TLS,
        "system": Outcome.TLS,
        "file": Outcome.PROTOCOL,
        "plain": Outcome.TLS,
    }
    assert all(state_of(one) is ProbeState.UNKNOWN for one in results[1:])


async def test_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is for the outside, not for the nodes."""
    monkeypatch.setenv("HTTP_PROXY", "http://no.such.invalid:1")
    assert (await ask(saying("fine"))).outcome is Outcome.ANSWERED


def test_place_shows_no_secret() -> None:
    """User, password and query of a URL stay out of messages."""
    assert place("http://u:p@h:8080/a/b?token=x#y") == "http://h:8080/a/b"
    assert place("https://h") == "https://h"


def test_only_nodes_with_urls_are_asked() -> None:
    """A node without a URL has nothing to be asked."""
    plugin = HttpMonitoringPlugin()
    bare = NodeConfig("1", frozenset({Role.BROKER}))
    assert not plugin.can_ask(bare, Kind.CUSTOM)
    probe = HttpProbe("a", "http://h/")
    assert plugin.can_ask(NodeConfig("1", frozenset({Role.BROKER}), http=(probe,)), Kind.CUSTOM)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(ANY_JSON, st.text(alphabet="/~01ab"))
def test_any_pointer_into_any_document(document: object, pointer: str) -> None:
    """A pointer finds something or raises LookupError."""
    with contextlib.suppress(LookupError):
        at_pointer(document, pointer)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([{}, {"pointer": "/a"}, {"metric": "a"}, {"body": "x"}]),
    st.sampled_from([{}, {"equals": "x"}, {"equals": True}, {"at_least": 1}, {"at_most": 1}]),
)
def test_any_body_gets_a_state(body: bytes, look_at: dict[str, Any], bound: dict[str, Any]) -> None:
    """Whatever is answered is OK, critical or unknown, with a text."""
    fact = judge(HttpProbe("p", "http://h/", **look_at, **bound), 200, body, 0.0)
    assert fact.state is not None
    assert fact.text


def test_hostile_metrics_take_no_time() -> None:
    """A megabyte of braces, of one name, or of labels is read in time of its length."""
    for line in ("a{" + "}" * 1_000_000 + " x y z", "a" * 1_000_000, 'a{b="' + "\\" * 1_000_000):
        assert list(samples(line, "a")) == []
