"""What a Nagios plugin says: exit code, first line, performance data. Pure.

exit 0 OK · 1 WARNING · 2 CRITICAL · 3 UNKNOWN
DISK OK - 42 % free | '/var'=58%;80;90;0;100 inodes=12
more text | more=1
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from kafka_self_healing.model.evidence import MetricFact, ProbeState

MOST_METRICS: Final = 100
MOST_TEXT: Final = 300
_STATES: Final = (ProbeState.OK, ProbeState.WARNING, ProbeState.CRITICAL, ProbeState.UNKNOWN)
_VALUE: Final = re.compile(
    r"([-+]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][-+]?[0-9]{1,3})?)(.*)"
)
_QUOTE: Final = "'"


def state_of(exit_code: int) -> ProbeState:
    """Return what an exit code means; one that Nagios does not have is unknown."""
    return _STATES[exit_code] if 0 <= exit_code < len(_STATES) else ProbeState.UNKNOWN


def first_line(output: str) -> str:
    """Return the first line without its performance data, at most MOST_TEXT characters."""
    return output.partition("\n")[0].partition("|")[0].strip()[:MOST_TEXT]


def metrics_of(output: str) -> tuple[MetricFact, ...]:
    """Return the performance data of all lines: what stands behind a `|`.

    Behind the `|` of the long text all further lines are data. A value that is none (`U`) is None;
    units, thresholds and limits are left out, and what is not written as data is skipped.
    """
    line, _, rest = output.partition("\n")
    parts = (line.partition("|")[2], rest.partition("|")[2])
    found = [one for part in parts for one in _read(part.replace("\n", " "))]
    return tuple(found[:MOST_METRICS])


def _read(data: str) -> Iterator[MetricFact]:
    at = 0
    while at < len(data):
        if data[at].isspace():
            at += 1
            continue
        label, at = _label(data, at)
        end = _end_of_word(data, at)
        if label and data.startswith("=", at):
            value = _VALUE.fullmatch(data[at + 1 : end].partition(";")[0])
            number = None if value is None else float(value[1].replace(",", "."))
            yield MetricFact(label, number if number is None or math.isfinite(number) else None)
        at = max(end, at + 1)


def _label(data: str, at: int) -> tuple[str, int]:
    """Return the label that begins at `at`, and where it ends. A quote in quotes is doubled."""
    if data[at] != _QUOTE:
        end = at
        while end < len(data) and data[end] != "=" and not data[end].isspace():
            end += 1
        return data[at:end], end
    letters: list[str] = []
    at += 1
    while at < len(data):
        if data[at] == _QUOTE:
            if not data.startswith(_QUOTE, at + 1):
                return "".join(letters), at + 1
            at += 1
        letters.append(data[at])
        at += 1
    return "", at  # the quote does not end


def _end_of_word(data: str, at: int) -> int:
    while at < len(data) and not data[at].isspace():
        at += 1
    return at
