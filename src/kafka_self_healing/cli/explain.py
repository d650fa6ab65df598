"""`kafka-self-healing explain NODE`: why it is, or is not, being healed; now or at a past time."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from kafka_self_healing.cli.target import answer, daemon_options, find
from kafka_self_healing.errors import ControlError

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@click.command("explain")
@click.argument("node")
@click.option("--at", "moment", metavar="TIME", help="A past moment: UTC ISO time, or -10m, -2h.")
@daemon_options
def command(
    node: str,
    moment: str | None,
    config: Path | None,
    state_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Answer "why are you not healing NODE?": evidence, all guards with numbers, what lifts them.

    With --at: why it was not healed then, from the journal alone; no daemon is needed.
    """
    if moment is not None:
        past = _from_journal(find(config, state_dir), node, utc_of(moment))
        if as_json:
            click.echo(json.dumps(past, indent=2))
        else:
            _print_past(past)
        return
    reply = answer((config, state_dir), {"command": "explain", "node": node}, as_json=as_json)
    if reply is not None:
        _print_now(reply)


def utc_of(text: str) -> float:
    """Return the UTC seconds that `text` names: an ISO time (UTC if it says no zone), or -10m."""
    ago = re.fullmatch(r"-(\d+(?:\.\d+)?)([smhd])", text.strip())
    if ago is not None:
        from kafka_self_healing.clock import utc_seconds

        return utc_seconds() - float(ago[1]) * UNITS_S[ago[2]]
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time: write 2026-03-01T12:00:00Z, or -10m (s, m, h, d)"
        ) from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def _from_journal(state_dir: Path, node: str, at_utc: float) -> dict[str, Any]:
    from kafka_self_healing.healing.hindsight import explain_at
    from kafka_self_healing.storage import Journal, open_store
    from kafka_self_healing.storage.journal import clusters

    with closing(open_store(state_dir, read_only=True)) as store:
        names = clusters(store)
        if len(names) != 1:
            raise ControlError(f"{state_dir}: its journal is of {len(names)} clusters, not of one")
        entries = Journal(store, names[0]).entries()
        return explain_at((entry.event for entry in entries), names[0], node, at_utc)


def _print_now(reply: dict[str, Any]) -> None:
    click.echo(f"node {reply['node']}: {reply['paragraph']}")
    click.echo("what is seen:")
    for line in reply["looks"]:
        click.echo(f"  {line}")
    if reply["circuit_open"]:
        click.echo(f"circuit open until: {reply['circuit_open']['lifted_by']}")
    if reply["plan"]:
        click.echo(f"a step of {reply['plan']['id']} ({reply['plan']['state']})")
    if reply["diagnosis"]:
        click.echo(f"diagnosis: {reply['diagnosis']['condition']}")
        for line in reply["diagnosis"]["evidence"]:
            click.echo(f"  {line}")
        row = reply["condition"]
        click.echo(f"  needs: {', '.join(row['needs']) or 'nothing of its own'}")
        click.echo(f"  contradicted by: {row['contradicted_by']}")
        click.echo(f"  holds: {row['holds']}")
        click.echo(f"what you do: {row['you']}")
    for line in reply["beside"]:
        click.echo(f"beside it: {line}")
    _print_guards(reply["act"], reply["guards"])
    _print_story(reply["story"])


def _print_past(past: dict[str, Any]) -> None:
    click.echo(f"node {past['node']} at {past['at']}: {past['paragraph']}")
    if past["facts"]:
        facts = ", ".join(f"{name} {value}" for name, value in past["facts"].items())
        click.echo(f"known since {past['facts_at']}: {facts}")
    for line in past["beside"]:
        click.echo(f"beside it: {line}")
    for switch in past["switches"]:
        what = f" of {switch['target']}" if switch["target"] else ""
        click.echo(f"{switch['order']}{what} by {switch['by']}: {switch['reason']}")
    if past["told"]:
        click.echo(f"latest notice about it: {past['told']}")
    if past["decided"]:
        _print_guards(f"{past['decided']['action']}, {past['decided']['at']}", past["guards"])
    _print_story(past["story"])
    if past["you"]:
        click.echo(f"what you do: {past['you']}")
    click.echo(f"not in the journal: {past['not_kept']}")


def _print_guards(act: str | None, guards: list[dict[str, Any]]) -> None:
    """A line a guard; those that refuse first."""
    words = {"refuses": "refuses:", "reports": "permits, but", "permits": "permits"}
    if guards:
        click.echo(f"guards of {act}:")
    for guard in sorted(guards, key=lambda one: list(words).index(one["says"])):
        lift = f" (lifted by: {guard['lifted_by']})" if guard["lifted_by"] else ""
        again = f"; again in {guard['again_s']:.0f} s" if guard.get("again_s") else ""
        word = words[guard["says"]]
        if guard["says"] == "permits" and guard["text"]:
            word += ":"
        click.echo(f"  {guard['guard']} {word} {guard['text']}{lift}{again}".rstrip())


def _print_story(story: list[str]) -> None:
    if story:
        click.echo("the story so far:")
    for line in story:
        click.echo(f"  {line}")
