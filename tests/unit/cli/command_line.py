"""Runs a command as the console script does, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from kafka_self_healing.cli.main import main


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `kafka-self-healing` with the given arguments."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["kafka-self-healing", *map(str, arguments)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return Ended(code if isinstance(code, int) else int(code is not None), said.out, said.err)

    return run
