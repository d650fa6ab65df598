"""Was a stop asked for? What systemd itself wrote about a unit into the journal tells.

A process that dies, however, leaves no "Stopping" line: that is written when a stop job begins,
whoever asked for it. A later line of a start job says that it was wanted again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

JOURNAL_FIELDS: Final = ("MESSAGE_ID", "INVOCATION_ID", "JOB_TYPE")

JOURNAL_LINES: Final = 40
"""How many lines about a unit are read."""

STARTUP_FINISHED: Final = (
    "b07a249cd024414a82dd00cd181378ff",
    "eed00a68ffd84e31882105fd973abdd1",  # in a container
)
STOPPING: Final = "de5b426a63be47a7b6ac3eaac82e2f6f"
_STARTS: Final = frozenset(
    {
        "7d4958e842da4a758f6c1cdc7b36dcc5",  # Starting
        "39f53479d3a045ac8e11786248231fbf",  # Started
        "be02cf6855d2428ba40df7e9d022f03d",  # Failed to start
    }
)


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line of systemd about a unit; "" = the field is not there."""

    message_id: str
    invocation: str


def read_journal(text: str) -> tuple[JournalLine, ...]:
    """Return the lines of `journalctl -o json`, oldest first; what is no JSON is left out."""
    return tuple(line for raw in text.splitlines() if (line := _line(raw)) is not None)


def _line(raw: str) -> JournalLine | None:
    try:
        fields = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    return JournalLine(str(fields.get("MESSAGE_ID", "")), str(fields.get("INVOCATION_ID", "")))


def stop_asked(lines: Sequence[JournalLine], invocation: str, *, complete: bool) -> bool | None:
    """Return whether a stop of the last run was asked for; None: the journal does not tell.

    `invocation` "": systemd has forgotten the run (a disabled unit that is down), so the last run
    that the journal knows is meant. `complete`: whether it could be read back to the boot.
    """
    # A warning about the unit's file is of no run; each look at a forgotten unit may add one.
    run = invocation or next((one.invocation for one in reversed(lines) if one.invocation), "")
    own = [line for line in lines if line.invocation == run]
    if not run and not any(line.message_id in _STARTS | {STOPPING} for line in own):
        # Not one line of a run, although there would be some: it was never started since the boot.
        return False if complete and len(lines) < JOURNAL_LINES else None
    if not own:  # of a run that systemd knows there must be lines; they were thrown away
        return None
    asked = False
    for line in own:
        if line.message_id == STOPPING:
            asked = True
        elif line.message_id in _STARTS:
            asked = False
    return asked
