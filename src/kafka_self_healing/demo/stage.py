"""The stage: everything that runs while the demo lasts, and the loop that watches and shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.chronicle import Chronicle, claims_of, line_of
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.daemon_process import DaemonProcess
from kafka_self_healing.demo.load_process import LoadProcess
from kafka_self_healing.demo.mailbox import Mailbox
from kafka_self_healing.demo.observer import Observer, back_since
from kafka_self_healing.demo.screen import Happening, Screen
from kafka_self_healing.demo.verdict import Claims

News = tuple[float, str, str]
"""When (boot-clock seconds), who, what."""

_ROUND_S: Final = 0.1
_NODES_EVERY_S: Final = 0.5
_ACT_WORDS: Final = {
    "start": "start of node {node} asked by {by}",
    "stop": "stop of node {node} asked by {by}",
    "kill": "kill of node {node} asked by {by}",
    "spawned": "node {node} runs, pid {pid}",
    "exited": "node {node} has ended: {result}",
}


@dataclass(slots=True)
class Stage:
    """The parts of a run, and what has been shown of them.

    `began`: the boot-clock second from which everything counts (warm, before the first blow).
    `struck`: (node, second) of each blow.
    """

    cluster: EmbeddedCluster
    load: LoadProcess
    daemon: DaemonProcess
    mailbox: Mailbox
    observer: Observer
    chronicle: Chronicle
    screen: Screen
    began: float = 0.0
    struck: list[tuple[int, float]] = field(default_factory=list)
    timeline: list[Happening] = field(default_factory=list)
    recovery: list[str] = field(default_factory=list)
    warm: bool = False
    _acts: int = 0
    _mails: int = 0
    _nodes_due: float = 0.0

    @property
    def victims(self) -> list[int]:
        """The nodes struck so far."""
        return [node for node, _ in self.struck]

    def tell(self, who: str, text: str, at: float | None = None) -> None:
        """Show a happening and keep it; `at` is a boot-clock second (default: now)."""
        at = boot_seconds() if at is None else at
        after = None
        if self.struck and at >= self.struck[0][1] - 0.001:
            after = at - self.struck[0][1]
        happening = Happening(after, who, text)
        self.timeline.append(happening)
        self.screen.tell(happening)

    def watch(self, seconds: float) -> None:
        """Watch and show for so long."""
        ends = boot_seconds() + seconds
        self.until(lambda: boot_seconds() >= ends, limit_s=seconds + 1.0)

    def until(self, is_so: Callable[[], bool], *, limit_s: float) -> bool:
        """Watch and show until `is_so` holds; False if it does not within `limit_s` seconds.

        Raises DemoError if the daemon has ended.
        """
        ends = boot_seconds() + limit_s
        while True:
            self.look()
            if is_so():
                return True
            if boot_seconds() >= ends:
                return False
            pause(_ROUND_S)

    def look(self) -> None:
        """Show what is new: journal, acts, mails, and twice a second the nodes."""
        self.daemon.require_alive()
        news = [*self._new_acts(), *self._new_words(), *self._new_mails()]
        for at, who, text in sorted(news, key=lambda one: one[0]):
            self.tell(who, text, at)
        if boot_seconds() >= self._nodes_due:
            self._nodes_due = boot_seconds() + _NODES_EVERY_S
            self._show_nodes()

    def claims(self) -> Claims:
        """Return what the healer has said since `began`."""
        return claims_of(self.chronicle.since(self.began), self.recovery)

    def back_since(self) -> float | None:
        """Return since when the observer sees every victim back; None if it does not."""
        return back_since(self.observer.sightings, dict(self.struck), self.cluster.nodes)

    def is_warm(self) -> bool:
        """Whether the daemon says that it is warm, knows every node well, and nothing is open."""
        status = self.daemon.ask("status")
        if status is None or status["warming_up"] or status["incidents"]:
            return False
        return all(word == "well" for word in status["nodes"].values())

    def _new_acts(self) -> Iterator[News]:
        acts = self.cluster.acts()
        for act in acts[self._acts :]:
            words = _ACT_WORDS.get(act.what)
            if words is not None and self.warm:
                text = words.format(node=act.node, by=act.by, pid=act.pid, result=act.result)
                yield act.boot, "supervisor", text
        self._acts = len(acts)

    def _new_words(self) -> Iterator[News]:
        for event in self.chronicle.news():
            line = line_of(event)
            if line is not None:
                yield event.at.mono_s, "healer", line

    def _new_mails(self) -> Iterator[News]:
        mails = self.mailbox.mails
        for mail in mails[self._mails :]:
            yield mail.at, "mail", mail.subject
        self._mails = len(mails)

    def _show_nodes(self) -> None:
        answer = self.daemon.ask("nodes")
        if answer is None:
            return
        rows = answer["nodes"]
        self.screen.show(rows)
        self.recovery += [row["recovery"] for row in rows if row["recovery"] and self.struck]
