"""From a file to `Settings`: read, parse, check all, and only then build.

A format is one function from text to `Document`; `PARSERS` names them by file suffix.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Set as AbstractSet
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from kafka_self_healing.config.document import Document, Place, place_text
from kafka_self_healing.config.messages import explain
from kafka_self_healing.config.parts import parts_of
from kafka_self_healing.config.rules import broken_rules
from kafka_self_healing.config.scalars import FilePath
from kafka_self_healing.config.schema import SECRET_KEYS, ConfigFile
from kafka_self_healing.config.settings import Settings, settings_of, usual_state_dir
from kafka_self_healing.config.yaml_source import parse_yaml
from kafka_self_healing.errors import ConfigError, Problem

_STATE_DIR: TypeAdapter[Path | None] = TypeAdapter(FilePath | None)

MAX_BYTES = 1_048_576
"""More than this is not a configuration: a thousand nodes take about a quarter of it."""

Parser = Callable[[str, str, Mapping[str, str], AbstractSet[str]], Document]
"""Takes the file's name, its text, the environment, and the keys below which nothing is shown.

Raises ConfigError if there is no tree.
"""

PARSERS: dict[str, Parser] = {".yaml": parse_yaml, ".yml": parse_yaml}


def load(path: Path | str, environ: Mapping[str, str] | None = None) -> Settings:
    """Load and check a configuration file; `environ` defaults to the process's environment.

    Raises ConfigError with every problem found, in the order of the file.
    """
    source = Path(path)
    variables = os.environ if environ is None else environ
    document = _parser(source)(str(source), _text(source), variables, SECRET_KEYS)
    problems = list(document.problems)
    config = None
    try:
        config = ConfigFile.model_validate(document.root)
    except ValidationError as error:
        problems += explain(error, document)
    told = {problem.path for problem in problems}
    broken = broken_rules(document, parts_of(document))
    problems += [problem for problem in broken if problem.path not in told]
    if problems or config is None:
        raise ConfigError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return settings_of(config, source, variables, document.notes)


def state_dir_of(path: Path | str, environ: Mapping[str, str] | None = None) -> Path:
    """Return the state folder of a file, of which the rest may be wrong or not readable by us.

    Whoever asks a running daemon has neither its secrets nor its variables. Raises ConfigError if
    the file cannot be read, or this one value not.
    """
    source = Path(path)
    variables = os.environ if environ is None else environ
    document = _parser(source)(str(source), _text(source), variables, SECRET_KEYS)
    place: Place = ("state_dir",)
    problems = [problem for problem in document.problems if problem.path == place_text(place)]
    written: Path | None = None
    try:
        written = _STATE_DIR.validate_python(document.at(place))
    except ValidationError as error:
        said = [detail["msg"] for detail in error.errors(include_url=False, include_input=False)]
        problems = problems or [document.problem(place, message) for message in said]
    if problems:
        raise ConfigError(problems)
    return usual_state_dir(document.folder, written, variables)


def _parser(source: Path) -> Parser:
    parser = PARSERS.get(source.suffix.lower())
    if parser is None:
        known = ", ".join(PARSERS)
        raise _refused(source, f"the format is not known by this name; end it in one of: {known}")
    return parser


def _text(source: Path) -> str:
    try:
        with source.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        message = f"cannot be read: {reason}; check the path and its permissions"
        raise _refused(source, message) from None
    if len(data) > MAX_BYTES:
        raise _refused(source, f"larger than {MAX_BYTES} bytes; this is no configuration file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        message = "not UTF-8 text from here on; save the file as UTF-8"
        raise ConfigError([Problem(str(source), line, column, "", message)]) from None


def _refused(source: Path, message: str) -> ConfigError:
    return ConfigError([Problem(str(source), 1, 1, "", message)])
