"""What a good HTTP answer is: status, text, a value in JSON or in a Prometheus text. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Final

from kafka_self_healing.hosts.command import printable
from kafka_self_healing.model.access import HttpProbe
from kafka_self_healing.model.evidence import CustomFact, MetricFact, ProbeState

_SAID: Final = 200
_VALUE_SAID: Final = 60
_VALUE_AND_TIME: Final = 2
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?\s*')
_ESCAPES: Final = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_NAMED_ESCAPE: Final = re.compile(r"\\.")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


class _Unreadable(Exception):
    """The answer does not have what is to be held against a bound; the text says why."""


def judge(probe: HttpProbe, status: int, body: bytes, took_s: float) -> CustomFact:
    """Return what an answer means. It is critical where it is wrong, unknown where it is no such.

    `body`: empty if the probe looks at the status alone.
    """
    took = MetricFact("time_s", took_s)
    if status not in probe.status:
        wanted = " or ".join(str(one) for one in probe.status)
        return _fact(probe, ProbeState.CRITICAL, f"status {status}, expected {wanted}", took)
    text = body.decode("utf-8", errors="replace")
    if probe.body is not None and probe.body not in text:
        said = f"status {status}, but the text {_short(probe.body)} does not occur"
        return _fact(probe, ProbeState.CRITICAL, said, took)
    try:
        name, values = _values(probe, text)
    except _Unreadable as wrong:
        return _fact(probe, ProbeState.UNKNOWN, f"status {status}, but {wrong}", took)
    wrongs = [(value, words) for value in values if (words := _wrong(probe, value))]
    shown = wrongs[0][0] if wrongs else next(iter(values), None)
    number = _number(shown)
    metrics = (took,) if number is None else (took, MetricFact(name, number))
    if wrongs:
        said = f"{name} is {_short(shown)}, {wrongs[0][1]}"
        return _fact(probe, ProbeState.CRITICAL, said, *metrics)
    found = f", {name} is {_short(shown)}" if values else ""
    return _fact(probe, ProbeState.OK, f"status {status}{found}", *metrics)


def needs_body(probe: HttpProbe) -> bool:
    """Whether more than the status is looked at."""
    return any(one is not None for one in (probe.body, probe.pointer, probe.metric))


def at_pointer(document: object, pointer: str) -> object:
    """Return what a JSON pointer (RFC 6901) points to. Raises LookupError."""
    found = document
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found[key]
        elif isinstance(found, list) and _INDEX.fullmatch(key):
            found = found[int(key)]
        else:
            raise LookupError(key)
    return found


def samples(text: str, wanted: str) -> Iterator[float]:
    """Yield the samples of a Prometheus text that have the name and at least the labels wanted."""
    name, labels, _ = _sample(wanted) or ("", {}, "")
    for line in text.splitlines():
        if not line.startswith(name):  # also keeps most lines from the costlier expression
            continue
        found = _sample(line)
        if found is None or found[0] != name or not labels.items() <= found[1].items():
            continue
        try:
            yield float(found[2])
        except ValueError:
            continue


def _sample(line: str) -> tuple[str, dict[str, str], str] | None:
    """Return name, labels and value ("" if there is none) of a line; None: it is no sample.

    Not one expression for all: on a hostile line that would take the square of its length.
    """
    name, brace, rest = line.partition("{")
    inner, tail = "", rest
    if brace:
        inner, closing, tail = rest.rpartition("}")
        if not closing:
            return None
    else:
        name, _, tail = line.strip().partition(" ")
    name, parts = name.strip(), tail.split(None, 2)
    if _NAME.fullmatch(name) is None or len(parts) > _VALUE_AND_TIME:
        return None
    labels, at = {}, 0
    while (found := _LABEL.match(inner, at)) is not None:
        labels[found[1]] = _plain(found[2])
        at = found.end()
    return name, labels, parts[0] if parts else ""


def _plain(value: str) -> str:
    return _NAMED_ESCAPE.sub(lambda found: _ESCAPES.get(found.group(), found.group()), value)


def _values(probe: HttpProbe, text: str) -> tuple[str, list[object]]:
    """Return the values to be judged and what they are called. All of them must be right."""
    if probe.metric is not None:
        found = list(samples(text, probe.metric))
        if not found:
            raise _Unreadable(f"there is no sample of {_short(probe.metric)}")
        if any(math.isnan(value) for value in found):
            raise _Unreadable(f"{_short(probe.metric)} is not a number there")
        return probe.metric, list(found)
    if probe.pointer is None:
        return "", []
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _Unreadable("it is no JSON") from None
    try:
        return probe.pointer or "the document", [at_pointer(document, probe.pointer)]
    except LookupError:
        raise _Unreadable(f"its JSON has nothing at {_short(probe.pointer)}") from None


def _wrong(probe: HttpProbe, value: object) -> str:
    """Say which bound `value` misses; "": none."""
    if probe.equals is not None and not _equal(value, probe.equals):
        return f"expected {_short(probe.equals)}"
    number = _number(value)
    for bound, words in ((probe.at_least, "at least"), (probe.at_most, "at most")):
        if bound is None:
            continue
        if number is None:
            return f"expected a number of {words} {bound:g}"
        if (number < bound) if words == "at least" else (number > bound):
            return f"expected {words} {bound:g}"
    return ""


def _equal(value: object, wanted: str | float | bool) -> bool:
    if isinstance(wanted, bool) or isinstance(value, bool):
        # Nobody means 1 by true; but a text of the configuration may say "true".
        return value is wanted or (isinstance(wanted, str) and _text(value) == wanted)
    if isinstance(wanted, str):
        return _text(value) == wanted
    return _number(value) == wanted


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number(value: object) -> float | None:
    """Return a number, also one that stands in quotes; None: it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def _short(value: object) -> str:
    said = _text(value) if isinstance(value, dict | list) else repr(value)
    return said if len(said) <= _VALUE_SAID else f"{said[:_VALUE_SAID]}…"


def _fact(probe: HttpProbe, state: ProbeState, said: str, *metrics: MetricFact) -> CustomFact:
    text = printable(said.encode("utf-8", "backslashreplace"))[:_SAID]
    return CustomFact(state, text, metrics, probe.stands_for)
