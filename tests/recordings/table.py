"""Judges every recording and writes the page of them: `python -m tests.recordings.table`.

The page is docs/explanation/recordings.md. It takes as long as the
replays: about a second each. Exit code 1: one is not right.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.simulation.judging import Judge, Seen, Verdict
from kafka_self_healing.simulation.replay import Replay
from kafka_self_healing.simulation.replay_format import read
from tests.recordings.adapter import NAMES, replay_lines

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "recordings.md"
HEAD = """# Recordings of real faults

Each was taken in a lab, once a second, from a real cluster of three hosts with a real fault at
second 0 (Kafka 4.3.1 in KRaft mode; `zk`: Kafka 3.9.2 with ZooKeeper), and is replayed through the
mind of this version, mode `auto`. *Named*: the accepted condition that was seen first, and its
second. *Done*: the act that is right, and its second; one in brackets is allowed, not required. Any
other act would be a wrong one. *Not done*: acts that guards held back at first, or altogether. A
recording shows the fault as it went without the healer, so what follows an act is not judged.

Judge your own: `kafka-self-healing replay FILE --judge` ([replay](../replay.md)). This page is
written by `python -m tests.recordings.table`.

| recording | right | named | done | not done, because of |
|---|---|---|---|---|
"""


def judged(name: str, folder: Path) -> Verdict:
    """Replay a recording and judge it."""
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in replay_lines(name)))
    recording = read(path)
    assert recording.header.expect is not None
    judge = Judge(recording.header.expect)
    Replay(recording, Policy(mode=Mode.AUTO), judge.hear).run()
    return judge.verdict()


def _cell(seen: Sequence[Seen]) -> str:
    return "; ".join(f"{s.what}, {'never' if s.at is None else f'{s.at:.1f} s'}" for s in seen)


def row(name: str, verdict: Verdict) -> str:
    """Return a recording's row of the table."""
    done = [*verdict.required, *(Seen(f"({one.what})", one.at) for one in verdict.allowed)]
    wrong = "".join(f" **WRONG: {one.what}**" for one in verdict.wrong)
    cells = (name, "yes" if verdict.right else "**no**", _cell(verdict.conditions),
             (_cell(done) or "nothing") + wrong, _cell(verdict.refused))  # fmt: skip
    return "| " + " | ".join(cells) + " |\n"


def main() -> int:
    """Write the page."""
    good, rows = True, ""
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            verdict = judged(name, Path(folder))
            good &= verdict.right
            rows += row(name, verdict)
    PAGE.write_text(HEAD + rows, encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
