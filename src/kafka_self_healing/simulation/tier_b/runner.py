"""Runs scenarios through the whole daemon, judged; the same seed, the same journal to the byte."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from kafka_self_healing.clock import boot_seconds
from kafka_self_healing.config import Settings
from kafka_self_healing.config.schema import LoggingConfig, NotificationConfig
from kafka_self_healing.healing.memory import Memory, fold
from kafka_self_healing.model.access import LogSource, SystemdService
from kafka_self_healing.model.evidence import CLUSTER_KINDS
from kafka_self_healing.model.node import Cluster, NodeConfig
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.invariants import Judge
from kafka_self_healing.simulation.readings import DATA_DIR
from kafka_self_healing.simulation.record import Violation
from kafka_self_healing.simulation.runner import (
    ActDone,
    Outcome,
    metrics_of,
    set_stage,
    timeline_of,
    watch,
    world_of,
)
from kafka_self_healing.simulation.scenarios import Scenario, draw
from kafka_self_healing.simulation.striking import Stage
from kafka_self_healing.simulation.tier_b import verdict
from kafka_self_healing.simulation.tier_b.faults import (
    DaemonFault,
    DiesAt,
    SleepsInAct,
    SmtpDown,
    StoreFull,
    draw_faults,
)
from kafka_self_healing.simulation.tier_b.healer import Healer
from kafka_self_healing.simulation.tier_b.loop import VirtualClock, VirtualLoop
from kafka_self_healing.simulation.tier_b.network import host_of
from kafka_self_healing.simulation.tier_b.process import Surroundings
from kafka_self_healing.simulation.tier_b.smtp import PostOffice

DRAWN_FOR_S: Final = 420.0
"""Scenarios are drawn as for so long: their faults begin in the first two minutes."""

HORIZON_S: Final = 340.0
"""Shorter than tier A's: what settles does so within the last 220 seconds."""

ENDS_WITHIN_S: Final = 400.0
"""A daemon that is asked to stop has so long: an act under way goes to a safe point."""

MEMORY_DISK: Final = Path("/dev/shm")  # noqa: S108  a disk that needs no fsync, if there is one


def run(seed: int, *, horizon_s: float = HORIZON_S, trace: bool = False) -> Outcome:
    """Run the scenario of one seed, with the daemon's own faults."""
    scenario = replace(draw(seed, DRAWN_FOR_S), horizon_s=horizon_s)
    return play(scenario, draw_faults(seed, DRAWN_FOR_S), trace=trace)


def play(
    scenario: Scenario,
    daemon_faults: Sequence[DaemonFault] = (),
    *,
    policy: Policy | None = None,
    trace: bool = False,
) -> Outcome:
    """Run one scenario. `trace` fills the timeline."""
    disk = str(MEMORY_DISK) if MEMORY_DISK.is_dir() else None
    with _silence(), tempfile.TemporaryDirectory(prefix="tier-b-", dir=disk) as folder:
        return _Run(scenario, daemon_faults, policy or Policy(), Path(folder)).play(trace=trace)


class _Run:
    """One scenario from its beginning to the verdict."""

    def __init__(
        self,
        scenario: Scenario,
        daemon_faults: Sequence[DaemonFault],
        policy: Policy,
        folder: Path,
    ) -> None:
        self.scenario = scenario
        policy = replace(policy, mode=scenario.mode)
        self.world = world = world_of(scenario)
        self.judge = Judge(world, policy)
        self.healer = Healer(self.judge)
        self.loop = VirtualLoop(world.agenda)
        clock, rng = VirtualClock(self.loop), Random(f"network {scenario.seed}")
        self.settings = _settings(world.cluster, policy, folder)
        self.office = PostOffice(clock, rng)
        takeovers = tuple(f for f in scenario.faults if isinstance(f, faults.LeaseLost))
        others = tuple(f for f in scenario.faults if not isinstance(f, faults.LeaseLost))
        self.stage: Stage = set_stage(
            replace(scenario, faults=others), policy, self.judge, self.healer
        )
        self.healer.around = self.around = Surroundings(
            self.loop, clock, world, self.settings, self.healer.eyes.weather,
            self.healer.hands, self.office, rng,
        )  # fmt: skip
        self._digest = ""
        self.full: list[tuple[float, float]] = []
        world.on_closed = self._cut
        for fault in (*takeovers, *daemon_faults):
            world.agenda.at(fault.at_s, self._strike, fault)
        watch(self.judge, world.agenda)

    def _cut(self, id_: str) -> None:
        if not self.world.nodes[id_].dark:
            for process in self.healer.processes:
                if process.up:
                    process.wire.cut(id_)

    def _strike(self, fault: DaemonFault | faults.LeaseLost) -> None:
        now, agenda = self.world.now, self.world.agenda
        self.stage.lines.append(f"{now:7.2f} fault    {fault}")
        self.judge.last_change = now
        match fault:
            case DiesAt() | SleepsInAct():
                self.healer.doom(fault)
            case SmtpDown(for_s=for_s, hangs=hangs):
                self.office.fail(hangs=hangs)
                agenda.after(for_s, self.office.recover)
            case StoreFull(for_s=for_s):
                self.around.disk_full = True
                self.full.append((now, now + for_s))
                agenda.after(for_s, self._room_again)
            case faults.LeaseLost(for_s=for_s):
                self.healer.take_over(for_s)

    def _room_again(self) -> None:
        self.around.disk_full = any(begin <= self.world.now < end for begin, end in self.full)

    def play(self, *, trace: bool) -> Outcome:
        """Let everything happen, and judge it."""
        with closing(self.loop):
            asyncio.set_event_loop(None)
            self.healer.begin()
            self.loop.run_until_complete(self._until(self.scenario.horizon_s))
            self.loop.run_until_complete(self._settle())
            self._judge()
            self.loop.run_until_complete(self._end())
        found = [*self.judge.violations]
        found += [Violation(code, at, text) for at, code, text in self.healer.wrong]
        acts = tuple(
            ActDone(round(a.began.mono_s, 3), a.node, a.action, a.condition.value)
            for a in self.judge.acts
            if a.began is not None
        )
        self.judge.violations[:] = found
        timeline = timeline_of(self.stage, self.judge, self.healer.journal) if trace else ()
        return Outcome(
            self.scenario.seed, tuple(found), metrics_of(self.judge.tally), acts,
            len(self.healer.journal), self._digest, timeline,
        )  # fmt: skip

    async def _until(self, moment: float) -> None:
        await self.around.clock.sleep(moment - self.loop.time())

    async def _settle(self) -> None:
        """Wait for a moment at which no turn is between its journal and its memory."""
        while (active := self.healer.active) is not None and active.working:
            await self.around.clock.sleep(0.001)

    def _judge(self) -> None:
        active = self.healer.active
        if active is None or active.daemon is None:
            self.healer.broken("crash", "no daemon is there at the end")
            return
        memory = active.daemon.memory
        self.judge.finish(self.healer.journal, memory, lambda events: fold(Memory(), events))

    async def _end(self) -> None:
        """Ask all to stop; then judge what they leave behind."""
        self.healer.spare()
        living = [process for process in self.healer.processes if process.up]
        for process in living:
            process.stopping = True
            if process.daemon is not None:
                process.daemon.stop()
        tasks = {process.task for process in living}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=ENDS_WITHIN_S)
            for task in late:
                self.healer.broken("crash", f"{task.get_name()} does not end")
                task.cancel()
        for process in self.healer.processes:
            if process.dead:
                await process.bury()
        await self.loop.sweep()
        self._verdict()

    def _verdict(self) -> None:
        seed, now = self.scenario.seed, self.around.clock.now()
        for code, text in (
            *verdict.memory_of(self.settings, seed),
            *verdict.mails_of(self.office, self.healer, self.full),
            *verdict.outbox_of(self.settings, self.office, now),
        ):
            self.healer.broken(code, text)
        self._digest = verdict.digest_of(self.settings)


def _settings(cluster: Cluster, policy: Policy, folder: Path) -> Settings:
    email = {"host": "mail.sim", "from": "healer@sim.test", "to": ["ops@sim.test"]}
    return Settings(
        source=folder / "sim.yaml",
        mode=policy.mode,
        state_dir=folder / "state",
        cluster=replace(
            cluster, nodes={id_: equipped(node) for id_, node in cluster.nodes.items()}
        ),
        policy=policy,
        notification=NotificationConfig.model_validate({"email": email}),
        logging=LoggingConfig(),
        audit_file=folder / "audit.jsonl",
    )


def equipped(node: NodeConfig) -> NodeConfig:
    """Return the node as an operator would describe it: where everything of it is."""
    return replace(
        node,
        host=host_of(node.id),
        jmx_port=9999,
        data_dirs=(DATA_DIR,),
        service=SystemdService("kafka"),
        log=LogSource(),
        kinds=node.kinds | CLUSTER_KINDS,
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Write no log: thousands of lines a run, and nobody reads them."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def simulate(seeds: Iterable[int], write: Callable[[str], None]) -> bool:
    """Run seeds, write a summary with the time that they took, and what fails. True: none."""
    began, count, failed = boot_seconds(), 0, 0
    acts = 0
    for seed in seeds:
        outcome = run(seed)
        count, acts = count + 1, acts + outcome.metric("acts")
        if not outcome.good:
            failed += 1
            write(f"seed {seed}: {len(outcome.violations)} invariants broken\n")
            write(timeline(seed) + "\n")
    each_s = (boot_seconds() - began) / max(count, 1)
    write(
        f"tier B: {count} scenarios, {failed} with a broken invariant; {acts} acts; "
        f"{each_s:.2f} s a scenario\n"
    )
    return failed == 0


def timeline(seed: int) -> str:
    """Return the timeline of one seed, a line a change, with its scenario at the top."""
    scenario = draw(seed, DRAWN_FOR_S)
    head = f"seed {seed}: {scenario.shape}, loss {scenario.loss:g}, mode {scenario.mode.value}"
    return "\n".join((head, *run(seed, trace=True).timeline))
