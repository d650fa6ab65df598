"""Writes docs/conditions.md from the rows beside the rules.

`python -m tests.conformance.write_conditions`; a test compares the page with what this would write.
"""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path

from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.table import TABLE
from kafka_self_healing.model.incident import Condition, reply

PAGE = Path(__file__).parents[2] / "docs" / "conditions.md"
WIDTH = 100
INTRO = """\
# Conditions

What the healer calls a situation, what it sees, what speaks against it, what it does, and what you
do. A condition is first *suspected* (it looks again at once, and tells nobody), then *confirmed*.
What no act answers is told to a person with all evidence.

Written by `python -m tests.conformance.write_conditions` from the rows beside the rules in
`src/kafka_self_healing/healing/diagnosis/`; notices and `explain` print the same words.

**Needs** names the kinds of evidence without which a condition is never confirmed: a node whose
configuration lacks one of them cannot get it. **Answer** is one of:

- `start`, `restart`: the condition's ladder, as far as all [guards](guards.md) permit.
- `watch`: told; a person is called when it lasts (`policy.under_replicated_page_s`,
  `policy.partitions_offline_page_s`, `policy.controller_missing_page_s`; 600 s for all others).
- `page`: a person is called at once.
- `hands off`: told once, and reminded of. `leave`: nothing, it is no failure while it progresses.
- `note`: nobody is called; `explain`, `status` and the daily digest say it.

A trouble of the whole cluster (QUORUM_LOST, ENSEMBLE_QUORUM_LOST, MASS_FAILURE, VIEWPOINT_LOST)
explains those of its nodes: they are told in one notice, and are acted on, and call a person by
themselves where that is news. An incident ends when it is *known* to be over, never because it is
out of sight; what comes back within 30 s is the same incident.
"""


def page() -> str:
    """Return the whole page."""
    parts = [INTRO]
    for heading, conditions in groups():
        parts.append(f"\n## {heading}\n")
        parts += [section(TABLE[condition]) for condition in conditions]
    return "".join(parts)


def groups() -> list[tuple[str, list[Condition]]]:
    """Return the conditions in the enum's order, under the enum's own headings (its comments)."""
    found: list[tuple[str, list[Condition]]] = []
    for line in inspect.getsource(Condition).splitlines():
        text = line.strip()
        if text.startswith("# "):
            found.append((text[2:].capitalize(), []))
        elif " = " in text:
            found[-1][1].append(Condition[text.split(" = ")[0]])
    return found


def section(row: Row) -> str:
    """Return the section of one condition."""
    kinds = ", ".join(sorted(kind.value for kind in row.needs))
    lines = (
        ("Seen", row.seen),
        ("Needs", kinds or "nothing of its own"),
        ("Contradicted by", row.contradicted_by),
        ("Holds", row.holds),
        ("Answer", f"`{reply(row.condition).value}`"),
        ("Done", row.done),
        ("You", row.you),
    )
    return f"\n### {row.condition.value}\n\n" + "".join(_item(name, text) for name, text in lines)


def _item(name: str, text: str) -> str:
    ends = text if text.endswith((".", "?", "!")) else f"{text}."
    return (
        textwrap.fill(
            f"- **{name}**: {ends}",
            WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        + "\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
