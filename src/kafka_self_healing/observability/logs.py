"""The log: lines of JSON or for a terminal, from structlog and from the standard library alike."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import Processor

from kafka_self_healing.clock import Clock
from kafka_self_healing.observability.redaction import Redactor
from kafka_self_healing.observability.rotation import LogRotator
from kafka_self_healing.secret import Secret

OURS = "kafka_self_healing"
_FIRST = ("time", "level", "logger", "event")


class LogFormat(StrEnum):
    """JSON: one object a line, for machines. CONSOLE: for people."""

    JSON = "json"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where the log goes and how much of it. `file` None = standard error, never rotated."""

    level: str = "INFO"
    format: LogFormat = LogFormat.JSON
    file: Path | None = None
    max_bytes: int = 20_000_000
    keep: int = 5


class LoggingService:
    """Takes over the logging of this process from `start` to `close`.

    Modules log through `logging.getLogger(__name__)` (fields by `extra=`) or `logger(name)`.
    Libraries are heard from WARNING on. Tracebacks hold no local variables.
    """

    def __init__(self, settings: LogSettings, clock: Clock, secrets: Iterable[Secret] = ()) -> None:
        self.redactor = Redactor(secrets)
        self._clock = clock
        self._rotator = (
            None
            if settings.file is None
            else LogRotator(settings.file, max_bytes=settings.max_bytes, keep=settings.keep)
        )
        self._handler: logging.Handler = (
            logging.StreamHandler(sys.stderr)
            if self._rotator is None
            else _RotatedHandler(self._rotator)
        )
        self._handler.setFormatter(_formatter(settings, self._shared(), self.redactor))
        self._handler.addFilter(_is_wanted)
        self._level = _level(settings.level)
        self._level_before: int | None = None

    def start(self) -> None:
        """Send all logging of this process here; a second call does nothing."""
        if self._level_before is not None:
            return
        root = logging.getLogger()
        self._level_before = root.level
        root.addHandler(self._handler)
        root.setLevel(self._level)
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.stdlib.PositionalArgumentsFormatter(),
                *self._shared(),
                ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=BoundLogger,
            cache_logger_on_first_use=False,
        )

    def logger(self, name: str) -> BoundLogger:
        """Return a logger that takes fields as keyword arguments."""
        bound: BoundLogger = structlog.stdlib.get_logger(name)
        return bound

    def set_level(self, level: str) -> None:
        """Change the level ("DEBUG" … "ERROR"); `ValueError` if there is none of that name."""
        self._level = _level(level)
        if self._level_before is not None:
            logging.getLogger().setLevel(self._level)

    def reopen(self) -> None:
        """Go on in a new file if another program has moved the log away (SIGHUP)."""
        if self._rotator is not None:
            self._rotator.reopen()

    def close(self) -> None:
        """Give logging back as it was and close the file; a second call does nothing."""
        if self._level_before is not None:
            root = logging.getLogger()
            root.removeHandler(self._handler)
            root.setLevel(self._level_before)
            structlog.reset_defaults()
            self._level_before = None
        self._handler.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _shared(self) -> list[Processor]:
        return [
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            _without_traces,
            self._stamp,
            structlog.processors.StackInfoRenderer(),
            # As text: the structured form of structlog shows local variables by default.
            structlog.processors.format_exc_info,
        ]

    def _stamp(
        self, _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        moment = datetime.fromtimestamp(self._clock.now().utc_s, UTC)
        event["time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return event


class _RotatedHandler(logging.Handler):
    """Writes to a rotated file, and says how many lines were lost once it can write again."""

    def __init__(self, rotator: LogRotator) -> None:
        super().__init__()
        self._rotator = rotator
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        if self._lost and self._write(_notice("log lines were lost", lost=self._lost)):
            self._lost = 0
        if not self._write(record):
            self._lost += 1

    def close(self) -> None:
        self._rotator.close()
        super().close()

    def _write(self, record: logging.LogRecord) -> bool:
        return self._rotator.write(self.format(record) + "\n")


class _Formatter(ProcessorFormatter):
    """Formats a record, or says where a record comes from that cannot be formatted."""

    def format(self, record: logging.LogRecord) -> str:
        with suppress(TypeError, ValueError, LookupError, AttributeError):
            return super().format(record)
        # The arguments do not fit the message. The standard library would show them unredacted.
        where = f"{record.name}:{record.lineno}"
        return super().format(_notice("a log line cannot be formatted", where=where))


def _formatter(settings: LogSettings, shared: list[Processor], redactor: Redactor) -> _Formatter:
    renderer: Processor
    if settings.format is LogFormat.JSON:
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=settings.file is None and sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
        )
    return _Formatter(
        foreign_pre_chain=shared,
        processors=[ProcessorFormatter.remove_processors_meta, redactor, _in_order, renderer],
    )


def _without_traces(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    # Other handlers leave their formatted text in a record of the standard library.
    if "_record" in event:
        event.pop("message", None)
        event.pop("asctime", None)
    return event


def _in_order(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    first = {key: event.pop(key) for key in _FIRST if key in event}
    return {**first, **event}


def _is_wanted(record: logging.LogRecord) -> bool:
    ours = record.name == OURS or record.name.startswith(f"{OURS}.")
    return ours or record.levelno >= logging.WARNING


def _notice(message: str, **fields: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": f"{OURS}.observability",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": message,
            **fields,
        }
    )


def _level(name: str) -> int:
    known = logging.getLevelNamesMapping()
    level = known.get(name.upper())
    if not level:
        raise ValueError(f"{name!r} is no log level: use DEBUG, INFO, WARNING or ERROR")
    return level
