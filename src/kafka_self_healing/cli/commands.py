"""What the commanding commands share: say it, wait until it is journalled, tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kafka_self_healing.cli.target import answer


def give(
    where: tuple[Path | None, Path | None], request: dict[str, Any], *, as_json: bool, done: str
) -> None:
    """Give a command and print `done` once it is journalled."""
    reply = answer(where, request, as_json=as_json)
    if reply is not None:
        click.echo(f"{done} (as {reply['by']})")


def until_s(seconds: float | None) -> float | None:
    """Return the UTC second at which something that lasts `seconds` from now ends."""
    if seconds is None:
        return None
    from kafka_self_healing.clock import utc_seconds

    return utc_seconds() + seconds
