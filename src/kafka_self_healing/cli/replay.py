"""`kafka-self-healing replay`: what would the mind have done with these looks?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


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
def command(files: tuple[Path, ...], config: Path | None, *, as_json: bool) -> None:
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
    except ReplayError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None
    for recording in recordings:
        Replay(recording, policy, _print_json if as_json else _print_words).run()


def _print_json(said: dict[str, Any]) -> None:
    click.echo(json.dumps(said))


def _print_words(said: dict[str, Any]) -> None:
    at = said["at"]
    name = next(key for key in said if key != "at")
    body = said[name]
    match name:
        case "diagnosis":
            nodes = ", ".join(str(node) for node in body["nodes"])
            text = f"{body['condition']} {body['state']} of {nodes}: {'; '.join(body['evidence'])}"
        case "decision":
            why = "; ".join(f"{r['guard']}: {r['text']}" for r in body["reasons"])
            text = f"{body['verdict']} {body['action']} on {body['node']}" + (
                f": {why}" if why else ""
            )
        case "page":
            text = f"{body['kind']}: {body['text']}"
        case _:
            text = ", ".join(f"{key} {value}" for key, value in body.items())
    click.echo(f"{at:9.2f}  {name:9}  {text}")
