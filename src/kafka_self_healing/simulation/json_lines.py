"""Objects of a file of JSON lines, one at a time, strictly: what `json` is lenient about fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kafka_self_healing.errors import ReplayError

MAX_LINE = 16 << 20
"""Bytes of one line: the metadata of 100,000 partitions have 10 MB."""

LARGEST = 1e18
"""Above it a number with a fraction is no reading of anything."""


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give each object with the number of its line. Raises ReplayError with file and line."""
    number = 0
    try:
        if path.exists() and not path.is_file():
            raise ReplayError(f"{path}: not a file; it is read twice, so save a stream first")
        with path.open("rb") as file:
            while raw := file.readline(MAX_LINE + 1):
                number += 1
                if len(raw) > MAX_LINE:
                    raise ReplayError(f"{path}:{number}: the line is longer than {MAX_LINE} bytes")
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    yield number, _row(path, number, text)
    except UnicodeDecodeError as error:
        raise ReplayError(
            f"{path}:{number}: not UTF-8: {error.reason} at byte {error.start}"
        ) from None
    except (OSError, ValueError) as error:
        raise ReplayError(f"{path}: cannot be read: {error}") from None


def _row(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        row = json.loads(
            text,
            parse_constant=_no_constant,
            parse_int=_no_giant,
            parse_float=_no_endless,
            object_pairs_hook=_no_twins,
        )
    except RecursionError:
        raise ReplayError(f"{path}:{number}: not JSON of this format: too deeply nested") from None
    except ValueError as error:
        raise ReplayError(f"{path}:{number}: not JSON: {error}") from None
    if "\\ud" in text.lower() and not _is_text(row):
        raise ReplayError(f"{path}:{number}: not JSON: half a character (a lone surrogate)")
    if not isinstance(row, dict):
        raise ReplayError(f"{path}:{number}: expected an object, got {type(row).__name__}")
    return row


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number; write null for what is not known")


def _no_giant(digits: str) -> int:
    if len(digits) > len(str(-(1 << 63))) or not -(1 << 63) <= int(digits) < 1 << 63:
        raise ValueError(f"{digits[:30]} does not fit into 64 bits")
    return int(digits)


def _no_endless(digits: str) -> float:
    value = float(digits)
    if not abs(value) < LARGEST:
        raise ValueError(f"{digits[:30]} is too large a number")
    return value


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice in one object")
    return row


def _is_text(row: object) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
