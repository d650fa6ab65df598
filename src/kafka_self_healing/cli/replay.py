"""`kafka-self-healing replay`: what would the mind have done with these looks?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kafka_self_healing.model.policy import Policy
    from kafka_self_healing.simulation.judging import Seen, Verdict
    from kafka_self_healing.simulation.replay_format import Recording


@click.command("replay")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take mode, policy and ladders from FILE; default: mode auto, all defaults.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option(
    "--judge",
    "judged",
    is_flag=True,
    help="Print only how it compares with the header's `expect`; exit 1 if it is not right.",
)
def command(files: tuple[Path, ...], config: Path | None, *, as_json: bool, judged: bool) -> None:
    """Drive the mind with recorded looks (docs/replay.md), without any I/O, deterministically."""
    from kafka_self_healing.errors import ReplayError
    from kafka_self_healing.model.policy import Mode, Policy
    from kafka_self_healing.simulation.replay import Replay
    from kafka_self_healing.simulation.replay_format import read

    policy, cluster = Policy(mode=Mode.AUTO), None
    if config is not None:
        from kafka_self_healing.config import load

        settings = load(config)
        policy, cluster = settings.policy, settings.cluster
    try:
        recordings = [read(file, cluster) for file in files]
        if judged:
            right = [_judge(recording, policy, as_json=as_json) for recording in recordings]
            raise SystemExit(0 if all(right) else 1)
        for recording in recordings:
            Replay(recording, policy, _print_json if as_json else _print_words).run()
    except ReplayError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None


def _judge(recording: Recording, policy: Policy, *, as_json: bool) -> bool:
    from kafka_self_healing.errors import ReplayError
    from kafka_self_healing.model.codec import to_plain
    from kafka_self_healing.simulation.judging import Judge
    from kafka_self_healing.simulation.replay import Replay

    if recording.header.expect is None:
        where = f"{recording.path}:1: expect"
        raise ReplayError(f"{where}: missing; --judge compares with it (docs/replay.md)")
    judge = Judge(recording.header.expect)
    Replay(recording, policy, judge.hear).run()
    verdict = judge.verdict()
    if as_json:
        body = {"right": verdict.right, **to_plain(verdict)}
        click.echo(json.dumps({"file": str(recording.path), "judged": body}))
    else:
        _print_verdict(recording.path, verdict)
    return verdict.right


def _print_verdict(path: Path, verdict: Verdict) -> None:
    click.echo(f"{path}: {'right' if verdict.right else 'NOT RIGHT'}")
    for name, seen in (
        ("condition", verdict.conditions),
        ("required", verdict.required),
        ("allowed", verdict.allowed),
        ("WRONG", verdict.wrong),
        ("refused", verdict.refused),
    ):
        _print_seen(name, seen)


def _print_seen(name: str, seen: Sequence[Seen]) -> None:
    for one in seen:
        at = "   never" if one.at is None else f"{one.at:7.1f}s"
        click.echo(f"  {name:9} {at}  {one.what}")


def _print_json(said: dict[str, Any]) -> None:
    click.echo(json.dumps(said))


def _print_words(said: dict[str, Any]) -> None:
    at = said["at"]
    name = next(key for key in said if key != "at")
    body = said[name]
    match name:
        case "diagnosis":
            nodes = ", ".join(str(node) for node in body["nodes"]) or "the cluster"
            text = f"{body['condition']} {body['state']} of {nodes}: {'; '.join(body['evidence'])}"
        case "decision":
            why = "; ".join(f"{r['guard']}: {r['text']}" for r in body["reasons"])
            text = f"{body['verdict']} {body['action']} on {body['node']}" + (
                f": {why}" if why else ""
            )
        case "page":
            text = f"{body['kind']}: {body['text']}"
        case "answer":
            text = _answer_words(body)
        case _:
            text = ", ".join(f"{key} {value}" for key, value in body.items())
    click.echo(f"{at:9.2f}  {name:9}  {text}")


def _answer_words(body: dict[str, Any]) -> str:
    lines = [f"{body['id']}: {body['would']}; looked at again at {body['looks_again']:.2f}"]
    for row in body["guards"]:
        until = f", until {row['until']:.2f}" if row["until"] is not None else ""
        lift = f" [lifted by {row['lifted_by']}{until}]" if row["lifted_by"] else ""
        lines.append(f"{row['guard']:24} {row['says']:8} {row['text']}{lift}".rstrip())
    return ("\n" + " " * 24).join(lines)
