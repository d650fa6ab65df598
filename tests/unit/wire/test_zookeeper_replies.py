"""What a real member's answers mean, and what is made of broken ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.wire.zookeeper_member import recorded

from kafka_self_healing.wire import zookeeper
from kafka_self_healing.wire.zookeeper.admin import parse_command
from kafka_self_healing.wire.zookeeper.replies import (
    NOT_SERVING,
    parse_conf,
    parse_mntr,
    parse_ruok,
    parse_srvr,
    parse_stat,
)

PARSERS: dict[str, Callable[[str], object]] = {
    "ruok": parse_ruok,
    "srvr": parse_srvr,
    "stat": parse_stat,
    "mntr": parse_mntr,
    "conf": parse_conf,
}


def text(name: str) -> str:
    """Return a recorded answer as text."""
    return recorded(name).decode()


def test_srvr_of_a_leader() -> None:
    """Mode, version, last transaction and its epoch are read."""
    reply = parse_srvr(text("srvr-leader"))
    assert reply == zookeeper.ServerReply(
        serving=True,
        mode="leader",
        version="3.8.4",
        zxid=0x100000000,
        latency_ms=0.0,
        outstanding=0,
        connections=1,
        node_count=5,
    )
    assert reply.epoch == 1


@pytest.mark.parametrize("mode", ["follower", "standalone"])
def test_srvr_of_others(mode: str) -> None:
    """The other modes serve too."""
    reply = parse_srvr(text(f"srvr-{mode}"))
    assert (reply.serving, reply.mode, reply.epoch) == (True, mode, 0)


def test_read_only_member_does_not_serve() -> None:
    """A member in read-only mode is cut off from the quorum: it answers, and does not serve."""
    reply = parse_srvr(text("srvr-follower").replace("follower", "read-only"))
    assert (reply.serving, reply.mode) == (False, "read-only")


def test_stat_counts_clients() -> None:
    """`stat` is `srvr` with its clients."""
    reply = parse_stat(text("stat-follower"))
    assert (reply.mode, reply.clients, reply.version) == ("follower", 1, "3.8.4")


def test_mntr_of_a_leader() -> None:
    """The numbers of `mntr` are there by their names without zk_."""
    reply = parse_mntr(text("mntr-leader"))
    assert (reply.serving, reply.mode, reply.version) == (True, "leader", "3.8.4")
    assert reply.whole("synced_followers") == 2
    assert reply.whole("max_file_descriptor_count") == 20000
    assert reply.values["avg_latency"] == 0.0
    assert reply.whole("no_such_thing") is None


def test_minus_one_is_no_number_of_things() -> None:
    """-1 is how ZooKeeper says that there is none yet."""
    reply = parse_mntr("zk_version\t3.8.4\nzk_server_state\tleader\nzk_synced_followers\t-1\n")
    assert reply.whole("synced_followers") is None


def test_admin_monitor_says_the_same_as_mntr() -> None:
    """The AdminServer's `monitor` has the names of `mntr`."""
    said = parse_command("monitor", recorded("admin-monitor-leader"))
    assert said is not None
    assert (said["server_state"], said["synced_followers"]) == ("leader", 2)
    names = {name for name in parse_mntr(text("mntr-leader")).values if "latency" in name}
    assert names <= set(said)


def test_conf_has_id_and_members() -> None:
    """`conf` tells the member's id and the ensemble."""
    reply = parse_conf(text("conf"))
    assert reply.server_id == 1
    assert [number for number, _ in reply.members] == [1, 2, 3]
    assert reply.values["tickTime"] == "2000"


@pytest.mark.parametrize("word", ["srvr", "stat", "mntr", "conf"])
def test_not_serving_is_an_answer(word: str) -> None:
    """A member without a quorum says so, and that is no error."""
    reply = PARSERS[word](text("not-serving"))
    assert getattr(reply, "serving", None) is False


def test_not_serving_by_the_admin_server() -> None:
    """The AdminServer says it with status 200, and as a page of HTML with 500 to `monitor`."""
    assert parse_command("srvr", recorded("admin-srvr-not-serving")) is None
    with pytest.raises(zookeeper.ZooKeeperProtocolError, match="500 to monitor without JSON"):
        parse_command("monitor", recorded("admin-monitor-not-serving"))


def test_ruok() -> None:
    """`imok` is yes, whoever does not serve is no."""
    assert parse_ruok("imok") is True
    assert parse_ruok(NOT_SERVING + "\n") is False


@pytest.mark.parametrize("word", PARSERS)
def test_refused_word_is_told_apart(word: str) -> None:
    """The sentence of the whitelist is an error of its own, which names the setting."""
    sentence = text("refused-mntr").replace("mntr", word)
    with pytest.raises(zookeeper.ZooKeeperNotWhitelistedError, match=r"4lw\.commands") as caught:
        PARSERS[word](sentence)
    assert caught.value.outcome == "authorisation"


def test_unknown_command_is_unsupported() -> None:
    """An AdminServer that lacks a command says so with status 200."""
    with pytest.raises(zookeeper.ZooKeeperUnsupportedError):
        parse_command("nosuch", recorded("admin-unknown"))


@pytest.mark.parametrize("word", PARSERS)
@pytest.mark.parametrize("said", ["", "\0\0", "HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-x\r\n"])
def test_other_servers_are_not_zookeeper(word: str, said: str) -> None:
    """What is no answer of ZooKeeper says so, with its first bytes."""
    with pytest.raises(zookeeper.ZooKeeperProtocolError):
        PARSERS[word](said)


def http(body: bytes, status: int = 200, head: str = "") -> bytes:
    """Return an HTTP answer."""
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


@pytest.mark.parametrize(
    "answer",
    [
        http(b"<html>"),
        http(b"[]"),
        http(b"{}"),
        http(b"[" * 100_000),
        http(b"1" * 5_000),
        http(b'{"command":"srvr","error":null}', 500),
        http(b'{"command":"srvr","error":"out of cheese"}'),
        http(b'{"command":"srvr"}', head="Content-Length: 999\r\n"),
        http(b'{"command":"srvr"}', head="Transfer-Encoding: chunked\r\n"),
        b"HTTP/1.1 200 OK\r\n",
        b"SSH-2.0-x\r\n",
    ],
)
def test_broken_admin_answers(answer: bytes) -> None:
    """HTML, other JSON, a nested bomb, a cut or foreign answer: a protocol error each."""
    with pytest.raises(zookeeper.ZooKeeperProtocolError):
        parse_command("srvr", answer)


@pytest.mark.parametrize("status", [401, 403])
def test_admin_server_may_refuse(status: int) -> None:
    """A login that is wanted is a matter of rights."""
    with pytest.raises(zookeeper.ZooKeeperAuthorisationError):
        parse_command("srvr", http(b"", status))


@pytest.mark.parametrize("number", ["1e999", "nan", "0x1", "-1", "9" * 5_000, "1.5", "٣"])
def test_broken_numbers_are_not_there(number: str) -> None:
    """A number that is none leaves its field empty; the rest counts."""
    reply = parse_srvr(f"Mode: leader\nOutstanding: {number}\nZxid: 0x{'f' * 99}\n")
    assert reply.mode == "leader"
    assert reply.outstanding in {None, -1, 3}
    assert reply.epoch is None
