"""One log for structlog and the standard library, without secrets, that can be taken away again."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from kafka_self_healing.instant import Instant
from kafka_self_healing.observability import LogFormat, LoggingService, LogSettings
from kafka_self_healing.secret import Secret

SECRET = "correct-horse"


class StillClock:
    """A clock that stands."""

    def now(self) -> Instant:
        """Return always the same moment."""
        return Instant(5.0, 1_700_000_000.25)

    async def sleep(self, seconds: float) -> None:
        """Return at once."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log goes."""
    return tmp_path / "daemon.log"


@pytest.fixture
def service(path: Path) -> Iterator[LoggingService]:
    """A log of JSON lines that knows one secret."""
    settings = LogSettings(level="INFO", file=path)
    with LoggingService(settings, StillClock(), [Secret(SECRET)]) as started:
        yield started


@pytest.fixture
def lines(path: Path) -> Callable[[], list[dict[str, Any]]]:
    """Reads the log back."""
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


OURS = logging.getLogger("kafka_self_healing.some.module")


def test_both_ways_of_logging_give_the_same_line(
    service: LoggingService, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """Fields, time of the given clock, level, logger and text come in one order."""
    service.logger(OURS.name).warning("node is %s", "gone", node="1")
    OURS.warning("node is %s", "gone", extra={"node": "1"})

    expected = {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "kafka_self_healing.some.module",
        "event": "node is gone",
        "node": "1",
    }
    assert lines() == [expected, expected]
    assert list(lines()[0]) == list(expected)


def test_levels_are_obeyed_and_can_change(
    service: LoggingService, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """Below the level nothing is written, from either way of logging, until it is lowered."""
    OURS.debug("one")
    service.logger(OURS.name).debug("two")
    service.set_level("debug")
    OURS.debug("three")
    service.logger(OURS.name).debug("four")

    assert [line["event"] for line in lines()] == ["three", "four"]


def test_an_unknown_level_is_refused(service: LoggingService) -> None:
    """A level that does not exist is an error with the ones that do."""
    with pytest.raises(ValueError, match="'LOUD' is no log level: use DEBUG"):
        service.set_level("LOUD")


def test_libraries_are_heard_from_warning_on(
    service: LoggingService, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """What other packages tell as information stays out; their warnings come in."""
    logging.getLogger("alembic.runtime").info("context impl")
    logging.getLogger("asyncio").warning("slow callback")

    assert [line["event"] for line in lines()] == ["slow callback"]


def _fail(password: str) -> None:
    local = f"only in a local variable: {password}"
    raise RuntimeError(f"cannot log in, password={password} ({len(local)})")


@pytest.mark.parametrize("chosen", list(LogFormat))
def test_no_secret_gets_into_the_log(path: Path, chosen: LogFormat) -> None:
    """Not by text, argument, field, key, nesting, exception, context or local variable."""
    unknown = "not-told-to-anyone"
    settings = LogSettings(file=path, format=chosen)
    with LoggingService(settings, StillClock(), [Secret(SECRET)]) as service:
        log = service.logger(OURS.name)
        OURS.info(f"text {SECRET}")
        OURS.info("argument %s %r", SECRET, Secret(unknown))
        OURS.info("pattern password=%s", unknown)
        log.info("field", a=SECRET, b={"c": [SECRET]}, password=unknown, d=Secret(unknown))
        with structlog.contextvars.bound_contextvars(token=unknown, note=SECRET):
            log.info("context")
        for failing in (SECRET, unknown):
            try:
                _fail(failing)
            except RuntimeError:
                OURS.exception("failed")
                log.exception("failed")

    written = path.read_text()
    assert SECRET not in written
    assert unknown not in written
    assert "only in a local variable: c" not in written
    assert written.count("RuntimeError: cannot log in, password=***") == 4
    assert "in _fail" in written


def test_an_exception_is_one_line_of_json(
    service: LoggingService, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """A traceback is a field of its line."""
    try:
        _fail("x" * 10)
    except RuntimeError:
        OURS.exception("failed")

    (line,) = lines()
    assert line["exception"].startswith("Traceback")
    assert "RuntimeError" in line["exception"]


def test_a_wrong_call_costs_its_line_only(
    service: LoggingService,
    lines: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arguments that do not fit are told by their place, and shown nowhere."""
    # The test runner's own handlers raise on such a call.
    monkeypatch.setattr(logging.getLogger(), "handlers", [service._handler])
    OURS.warning("%d nodes", SECRET)

    (line,) = lines()
    assert line["event"] == "a log line cannot be formatted"
    assert line["where"].startswith("kafka_self_healing.some.module:")


def test_lost_lines_are_counted(tmp_path: Path) -> None:
    """Once the log can be written again it says how many lines are missing."""
    path = tmp_path / "later" / "daemon.log"
    with LoggingService(LogSettings(file=path), StillClock()):
        OURS.info("one")
        OURS.info("two")
        path.parent.mkdir()
        OURS.info("three")

    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["event"], line.get("lost")) for line in written] == [
        ("log lines were lost", 2),
        ("three", None),
    ]


def test_a_terminal_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a file the log goes to standard error, without colours if that is no terminal."""
    settings = LogSettings(format=LogFormat.CONSOLE)
    with LoggingService(settings, StillClock()):
        OURS.info("node is up", extra={"node": "1"})

    assert sys.stderr.isatty() is False
    written = capsys.readouterr().err
    assert "node is up" in written
    assert "node=1" in written
    assert "\x1b[" not in written


def test_closing_gives_logging_back(path: Path) -> None:
    """Afterwards handlers and level are as before, and nothing more is written."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    service = LoggingService(LogSettings(file=path, level="DEBUG"), StillClock())
    service.start()
    service.start()
    OURS.info("inside")
    service.close()
    service.close()

    OURS.error("outside")

    assert (list(root.handlers), root.level) == before
    assert path.read_text().count("\n") == 1


def test_a_moved_log_is_begun_anew(service: LoggingService, path: Path) -> None:
    """After an outside rotation `reopen` starts a new file."""
    OURS.info("before")
    path.rename(path.with_suffix(".old"))
    service.reopen()
    OURS.info("after")

    assert json.loads(path.read_text())["event"] == "after"
