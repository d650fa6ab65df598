"""Reads a recording into the replay format: `python -m tests.recordings.adapter NAME`."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.recordings.partitions import topics_of

DATA = Path(__file__).with_name("data")
NAMES = sorted(path.name.removesuffix(".jsonl.gz") for path in DATA.glob("*.jsonl.gz"))
CLUSTER = "lab"

Row = dict[str, Any]

_ENDED = frozenset({"inactive", "failed"})
_TCP = {"ok": "answered", "timeout": "timed_out", "TimeoutError": "timed_out"}
_CODES = {1: "exited", 2: "killed", 3: "dumped"}
_NOT_SERVING = "not currently serving"
_DIRECTORY = {"kafka": "/var/lib/kafka", "kafka-controller": "/var/lib/kafka-controller",
              "zookeeper": "/var/lib/zookeeper"}  # fmt: skip
_BAD_DISK = {"disk-dead": {"readable": False}}
"""What a real read of the data directory says from the fault on."""
_CHOKED_AT_S = 3.0


def load(name: str) -> tuple[Row, list[Row]]:
    """Return the header and the rows of a recording."""
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return lines[0], lines[1:]


def replay_lines(name: str) -> list[Row]:
    """Return a recording as the lines of a replay file."""
    header, rows = load(name)
    adapter = _Adapter(header)
    lines = [line for row in rows for line in adapter.lines_of(row)]
    return [adapter.header(), *sorted(lines, key=lambda line: float(line["at"]))]


def node_of(mode: str, host: str, unit: str) -> str:
    """Return the id of the node that a unit on a host is."""
    first = {"kafka": "", "kafka-controller": "1", "zookeeper": "10"}[unit]
    assert unit != "kafka-controller" or mode == "kraft-separate"
    return first + host


@dataclass
class _Adapter:
    """What has to be remembered from row to row."""

    recording: Row
    stopping: set[str] = field(default_factory=set)

    @property
    def mode(self) -> str:
        """kraft, kraft-separate or zk."""
        return str(self.recording["mode"])

    @property
    def units(self) -> tuple[str, ...]:
        """The units of each host."""
        other = {"kraft": (), "kraft-separate": ("kafka-controller",), "zk": ("zookeeper",)}
        return ("kafka", *other[self.mode])

    def header(self) -> Row:
        """Return the replay's first line."""
        roles = {"kafka": "combined" if self.mode == "kraft" else "broker",
                 "kafka-controller": "controller", "zookeeper": "zookeeper"}  # fmt: skip
        nodes = [
            {"id": node_of(self.mode, host, unit), "roles": [roles[unit]], "host": f"h{host}"}
            for unit in self.units
            for host in ("1", "2", "3")
        ]
        return {
            "format": "kafka-self-healing/replay-1",
            "cluster": CLUSTER,
            "mode": "zookeeper" if self.mode == "zk" else "kraft",
            "session_timeout_s": self.recording["session_timeout_s"],
            "warm": True,
            "nodes": nodes,
            "expect": self._expect(),
        }

    def _expect(self) -> Row:
        """Return what is right, with hosts and units as nodes."""
        expect, mode = self.recording["expect"], self.mode
        found: Row = {"conditions": expect["conditions"], "until": self.recording["judge_until"]}
        for name in ("required", "allowed"):
            found[name] = []
            for action, unit, hosts in expect[name]:
                listed = hosts if isinstance(hosts, list) else [hosts]
                nodes = [node_of(mode, str(host), unit) for host in listed]
                found[name].append({"action": action, "nodes": nodes})
        return found

    def lines_of(self, row: Row) -> Iterator[Row]:
        """Return every look of a row."""
        hosts = row["observed"]["nodes"]
        if self.mode == "kraft" and not any("ctl_quorum" in seen for seen in hosts.values()):
            yield from _forwarded(hosts, row["t"])
        for host, seen in hosts.items():
            yield from self._broker(host, seen, row["t"])
            if self.mode == "kraft-separate":
                yield from self._controller(host, seen, row["t"])
            if self.mode == "zk":
                yield from self._member(host, seen, row["t"])
            for unit in self.units:
                yield from self._machine(host, unit, seen, row["t"])

    def _broker(self, host: str, seen: Row, t: float) -> Iterator[Row]:
        tcp = seen["tcp"]
        answer: Any = seen.get("api", tcp)
        yield _look(host, "LISTENER", t, tcp)
        yield _look(host, "PROTOCOL", t, answer, {})
        yield from _jvm(host, seen["jmx"], t)
        meta: Any = seen.get("meta", answer)
        if isinstance(meta, dict):
            fact = {
                "listed": [str(id_) for id_ in meta["brokers"]],
                "controller": str(meta["controller"]) if self.mode == "zk" else None,
                "topics": topics_of(meta),
            }
            yield _look(CLUSTER, "PEERS", t, ["ok", meta["ms"]], fact, observer=host)
        else:
            yield _look(CLUSTER, "PEERS", t, meta, observer=host)
        if self.mode == "kraft" and "ctl_quorum" in seen:
            yield _quorum(host, seen, t)

    def _controller(self, host: str, seen: Row, t: float) -> Iterator[Row]:
        node = node_of(self.mode, host, "kafka-controller")
        yield _look(node, "LISTENER", t, seen["ctl"])
        answer: Any = seen.get("ctl_api", seen["ctl"])
        yield _look(node, "PROTOCOL", t, answer, {})
        yield from _jvm(node, seen["ctl_jmx"], t)
        yield _quorum(node, seen, t)

    def _member(self, host: str, seen: Row, t: float) -> Iterator[Row]:
        node, said = node_of(self.mode, host, "zookeeper"), seen["zk"]
        if said["srvr"] in ("refused", "timeout"):
            ended = [said["srvr"], 2000 if said["srvr"] == "timeout" else 1]
            # Only of a host that answers a ping is it known that its kernel accepts connections.
            silent = ["ok", 1] if seen["ping"] else ended
            yield _look(node, "LISTENER", t, ended if ended[0] == "refused" else silent)
            yield _look(node, "PROTOCOL", t, ended)
            yield _look(CLUSTER, "QUORUM", t, ended, observer=node)
            return
        yield _look(node, "LISTENER", t, ["ok", 1])
        serving = isinstance(said["srvr"], dict)
        mode = said["srvr"]["Mode"] if serving else None
        synced = said["mntr"].get("zk_synced_followers") if isinstance(said["mntr"], dict) else None
        known = {"mode": mode, "synced": None if synced is None else int(float(synced))}
        answer = {"ruok": said["ruok"] == "imok", "serving": serving, **known}
        yield _look(node, "PROTOCOL", t, ["ok", 5], answer)
        leads = {"leader": node} if mode == "leader" else {}
        epoch = {"epoch": int(said["srvr"]["Zxid"], 16) >> 32} if serving else {}
        yield _look(CLUSTER, "QUORUM", t, ["ok", 5], {**known, **leads, **epoch}, observer=node)

    def _machine(self, host: str, unit: str, seen: Row, t: float) -> Iterator[Row]:
        node, machine = node_of(self.mode, host, unit), seen["host"]
        if machine["ssh"] == "pending":  # not answered yet: unknown
            return
        if machine["ssh"] != "ok":
            fact = {"reachable": False, "ping": seen["ping"]}
            yield _look(node, "HOST", t, ["timeout", 2900], fact)
            yield _look(node, "SERVICE", t, ["timeout", 2900])
            return
        took = ["ok", machine["ms"]]
        service = self._service(node, machine[unit])
        yield _look(node, "SERVICE", t, took, service)
        yield _look(node, "HOST", t, took, self._host(unit, machine, seen["ping"], host, t))
        victim = int(host) in self.recording["nodes"] and unit == self._sick_unit()
        if victim and (service["active"] == "failed" or self._choked(t)):
            yield _look(node, "LOG", t, took, {"tail": self.recording["last_log"]})

    def _choked(self, t: float) -> bool:
        """Whether its log tells of its heap while it runs: so from the first seconds on."""
        return self.recording["fault"] == "oom" and t >= _CHOKED_AT_S

    def _sick_unit(self) -> str:
        fault = self.recording["fault"]
        if fault.startswith("zk-"):
            return "zookeeper"
        return "kafka-controller" if fault.startswith("ctl-") else "kafka"

    def _service(self, node: str, show: Row) -> Row:
        """Return systemd's word, and the good things that a recording does not hold."""
        active, code, status = show["ActiveState"], show["ExecMainCode"], show["ExecMainStatus"]
        if active == "deactivating":
            self.stopping.add(node)
        elif active not in _ENDED:
            self.stopping.discard(node)
        pid = 0 if active in _ENDED or show["SubState"] == "auto-restart" else show["MainPID"]
        return {
            "active": active,
            "sub": show["SubState"],
            "result": show["Result"],
            "code": _CODES.get(code),
            "exit_status": status if code == 1 else None,
            "signal": status if code in (2, 3) else None,
            "pid": pid,
            "process_state": show.get("stat") if pid else None,
            "restarts": show["NRestarts"],
            "unit_file": "enabled",
            "job": "",
            "stop_requested": node in self.stopping,
            "tracer_pid": 0,
            "lock_held": bool(pid),
            "host_lock": False,
            "invocation": f"run of {show['ExecMainPID']}",
        }

    def _host(self, unit: str, machine: Row, ping: bool, host: str, t: float) -> Row:
        path, fault = _DIRECTORY[unit], str(self.recording["fault"])
        whole = {"same_device": True, "has_identity": True, "readable": True}
        sick = int(host) in self.recording["nodes"] and unit == "kafka" and t >= 0
        if sick:
            whole |= _BAD_DISK.get(fault, {})
        disks = []
        df = re.match(r"(\d+)% (\d+)", machine.get("df", ""))
        if df and unit == "kafka":
            used, usable = int(df[1]), int(df[2]) * 1024
            total = int(usable / (1 - used / 100)) if used < 100 else None
            disks = [{"path": path, "total": total, "usable": usable, "read_only": False}]
        data_dirs = [{"path": path, **whole}]
        return {"reachable": True, "ping": ping, "disks": disks, "data_dirs": data_dirs}


def _quorum(node: str, seen: Row, t: float) -> Row:
    """Return a controller listener's account; what it says beside an error means nothing."""
    said: Any = seen.get("ctl_quorum")
    if not isinstance(said, dict):
        return _look(CLUSTER, "QUORUM", t, said or seen["ctl"], observer=node)
    if said.get("error"):
        return _look(CLUSTER, "QUORUM", t, seen["ctl"], {}, observer=node)
    return _look(CLUSTER, "QUORUM", t, seen["ctl"], _account(said, t), observer=node)


def _forwarded(hosts: Row, t: float) -> Iterator[Row]:
    """Return the controllers' accounts where brokers were asked, which forward to the leader."""
    told = [seen["quorum"] for seen in hosts.values() if isinstance(seen.get("quorum"), dict)]
    for host, seen in hosts.items():
        mine = next((one for one in told if str(one["leader"]) == host), None)
        fact = {} if mine is None else _account(mine, t)
        yield _look(CLUSTER, "QUORUM", t, seen["ctl"], fact, observer=host)


def _account(said: Row, t: float) -> Row:
    """Return the leader's account of the voters; its clock is made up."""
    now_ms = int((t + 100.0) * 1000)

    def stamp(ago_s: float | None) -> int:
        return -1 if ago_s is None else now_ms - int(ago_s * 1000)

    voters = [
        {"id": id_, "last_fetch_ms": stamp(fetched), "last_caught_up_ms": stamp(caught_up)}
        for id_, (_, fetched, caught_up) in said["voters"].items()
    ]
    return {
        "leader": str(said["leader"]),
        "epoch": said["epoch"],
        "fetch_timeout_ms": 2000,
        "now_ms": now_ms,
        "voters": voters,
        "observers": list(said.get("observers", {})),
    }


def _jvm(node: str, said: Row, t: float) -> Iterator[Row]:
    if said.get("error") == "pending":
        return
    if "error" in said:
        yield _look(node, "JVM", t, [_jmx_outcome(said["error"]), 2000])
        return
    raft, left = said.get("raft"), said.get("remaining") or {}
    raft = raft if isinstance(raft, dict) else {}
    logs = [n for name, n in left.items() if name.startswith("remainingLogs")]
    segments = [n for name, n in left.items() if name.startswith("remainingSegments")]
    leader = raft.get("current-leader")
    fact = {
        "broker_state": said.get("state"),
        "remaining_logs": sum(logs) if logs else None,
        "remaining_segments": sum(segments) if segments else None,
        "offline_log_dirs": said.get("offline_dirs"),
        "raft_state": raft.get("current-state"),
        "raft_leader": None if leader is None else str(leader),
        "under_replicated": said.get("urp"),
        "offline_partitions": said.get("offline_parts"),
        "applied_lag_ms": said.get("last_applied_lag_ms"),
        "idle": said.get("idle"),
        "request_queue": said.get("req_queue"),
        "heap": said.get("heap"),
        "session": said.get("zk_session"),
    }
    yield _look(node, "JVM", t, ["ok", said["ms"]], fact)


def _jmx_outcome(error: str) -> str:
    if "Timeout" in error:
        return "timeout"
    if "reset" in error:
        return "reset"
    return "closed" if "closed" in error else "refused"


def _look(
    subject: str, kind: str, t: float, ended: list[Any], fact: Row | None = None, *,
    observer: str = "healer",
) -> Row:  # fmt: skip
    """Return one look: `ended` is its outcome in the recording's words and its milliseconds."""
    outcome = _TCP.get(ended[0], ended[0])
    check = {"observer": observer, "subject": subject, "kind": kind, "outcome": outcome,
             "started": t}  # fmt: skip
    if fact is not None and (outcome == "answered" or kind == "HOST"):
        check["fact"] = fact
    return {"at": round(t + ended[1] / 1000, 3), "check": check}


if __name__ == "__main__":
    for line in replay_lines(sys.argv[1]):
        print(json.dumps(line))
