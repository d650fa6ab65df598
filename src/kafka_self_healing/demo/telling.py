"""Puts the report together from what the parts of a run know."""

from __future__ import annotations

from pathlib import Path

from kafka_self_healing.config import load as load_configuration
from kafka_self_healing.demo.chronicle import decisions, milestones
from kafka_self_healing.demo.configuration import shortened
from kafka_self_healing.demo.drama import Ending
from kafka_self_healing.demo.faults import BLOW_WORDS, Fault
from kafka_self_healing.demo.layout import ClusterSettings, shortened_properties
from kafka_self_healing.demo.load import LoadReport
from kafka_self_healing.demo.observer import answered_at, back_since
from kafka_self_healing.demo.report import Report, VictimStory
from kafka_self_healing.demo.stage import Stage
from kafka_self_healing.demo.verdict import Seen


def make_report(
    stage: Stage,
    ending: Ending,
    *,
    fault: Fault,
    seed: int,
    how: tuple[str, str],
    configuration: Path,
    clocks: tuple[float, float],
    took_s: float,
) -> Report:
    """Return the report.

    `how`: the options that change what is right, and what is right in words;
    `clocks`: one moment in seconds of the boot clock and of UTC.
    """
    settings = load_configuration(configuration)
    properties = shortened_properties(ClusterSettings().session_timeout_ms)
    first = stage.struck[0][1] if stage.struck else stage.began
    events = [one for one in stage.chronicle.since(first) if one.at.mono_s <= ending.seen.ended]
    return Report(
        fault=fault,
        seed=seed,
        how=how[0],
        is_right=how[1],
        wrong=ending.wrong,
        victims=tuple(_victim(stage, ending.seen, fault, number)
                      for number in range(len(stage.struck))),
        decisions=tuple(decisions(events)),
        began=first,
        load=ending.load,
        gap_s=longest_gap(ending.load, first, clocks),
        comparison=ending.seen.comparison,
        knobs=tuple(shortened(settings, properties)),
        mails=tuple(stage.mailbox.mails),
        program=" ".join(stage.daemon.program),
        timeline=tuple(stage.timeline),
        took_s=took_s,
    )  # fmt: skip


def longest_gap(
    load: LoadReport, after: float, clocks: tuple[float, float]
) -> tuple[float, float] | None:
    """Return the longest gap that reaches past `after`: its seconds, and its begin from there."""
    offset = clocks[1] - clocks[0]
    gaps = [(gap.seconds, gap.began_utc_s - offset - after) for gap in load.gaps]
    return max((gap for gap in gaps if gap[0] + gap[1] >= 0), default=None)


def _victim(stage: Stage, seen: Seen, fault: Fault, number: int) -> VictimStory:
    node, struck = seen.struck[number]
    blows = [strike.blow for strike in fault.strikes for _ in strike.victims]
    spawned = [one.boot for one in seen.of_node("spawned", node) if one.by in seen.ours]
    others = [other for other in seen.nodes if other not in seen.victims]
    back = back_since(seen.sightings, {node: struck}, others)
    return VictimStory(
        node=node,
        blow=BLOW_WORDS[blows[number]],
        struck=struck,
        healer=milestones(stage.chronicle.events, str(node), struck),
        acted=spawned[0] if spawned else None,
        serving=answered_at(seen.sightings, node, struck),
        in_sync=back,
    )
