"""YAML text to a `Document`: positions kept, no surprises, bounded.

PyYAML only composes nodes; scalars are resolved here and in the schema, so that the traps of
YAML 1.1 (`no`, `22:30`, `012`) stay texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set as AbstractSet
from pathlib import Path

import yaml
from yaml.composer import ComposerError
from yaml.reader import ReaderError

from kafka_self_healing.config.document import (
    START,
    Document,
    Mark,
    Place,
    Scalar,
    Unreadable,
    place_text,
)
from kafka_self_healing.config.secret_files import SecretFiles
from kafka_self_healing.config.substitution import substitute
from kafka_self_healing.errors import ConfigError, Problem

MAX_DEPTH = 20
MAX_VALUES = 100_000
"""Values of one file after its aliases are followed; far more than a thousand nodes need."""

_NULLS = frozenset({"", "~", "null"})
_PLAIN_TAGS = frozenset(
    {"tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map", "!"}
)
_QUOTED = re.compile(r" '(?!<[a-z ]+>')[^']{3,}'|; first occurrence.*", re.DOTALL)
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep; a configuration needs far fewer"


def parse_yaml(
    file: str, text: str, environ: Mapping[str, str], sealed: AbstractSet[str] = frozenset()
) -> Document:
    """Parse `text`, substituting variables and files in its values.

    `sealed`: keys whose values are secret; nothing below them is named in a problem.
    Raises ConfigError where there is no tree to go on with; lesser problems are in the document.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(file, text, error)]) from None
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        message = "the file is empty; it needs at least a `cluster` section"
        raise ConfigError([Problem(file, 1, 1, "", message)])
    if not isinstance(node, yaml.MappingNode):
        mark = _mark(node)
        message = "the file must be a mapping of sections, beginning with a key such as `cluster:`"
        raise ConfigError([Problem(file, mark.line, mark.column, "", message)])
    return _Walk(file, environ, sealed).document(node)


class _Loader(yaml.BaseLoader):
    """Composes nodes without resolving any scalar, and only to a bounded depth."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs lack it
            raise ComposerError(None, None, _TOO_DEEP, event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Walk:
    """Turns nodes into plain values once, noting positions and problems on the way."""

    def __init__(self, file: str, environ: Mapping[str, str], sealed: AbstractSet[str]) -> None:
        self._file, self._environ, self._sealed = file, environ, sealed
        self._files = SecretFiles(Path(file).absolute().parent)
        self._marks: dict[Place, Mark] = {}
        self._key_marks: dict[Place, Mark] = {}
        self._problems: list[Problem] = []

    def document(self, node: yaml.MappingNode) -> Document:
        root = self._mapping(node, ())
        self._marks[()] = START
        problems, notes = tuple(self._problems), self._files.notes
        marks, keys = self._marks, self._key_marks
        return Document(self._file, root, marks, keys, problems, notes, self._sealed)

    def _value(self, node: yaml.Node, place: Place) -> object:
        mark = _mark(node)
        if len(place) > MAX_DEPTH or len(self._marks) >= MAX_VALUES:
            # Only aliases lead here: the composer has bounded the depth, the file size the rest.
            message = "aliases (*name) expand to too many values here; write the values out"
            self._tell(mark, place[:MAX_DEPTH], message)
            raise ConfigError(self._problems)
        self._marks[place] = mark
        if node.tag not in _PLAIN_TAGS:
            return self._tell(mark, place, "tags (!…) are not supported; remove it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*place, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, place)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            mark = _mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._tell(mark, place, "a key must be a simple name, not a list or a mapping")
                continue
            key = str(key_node.value)
            inner = (*place, key)
            if key == "<<":
                self._tell(mark, place, "merge keys (<<) are not supported; write the values out")
            elif key in values:
                first = self._key_marks[inner].line
                self._tell(mark, inner, f"given twice (first in line {first}); remove one of them")
            else:
                self._key_marks[inner] = mark
                values[key] = self._value(value_node, inner)
        return values

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> object:
        plain = node.style is None
        if plain and node.value in _NULLS:
            return None
        result = substitute(node.value, self._environ, self._files)
        if result.problems:
            for message in result.problems:
                self._tell(_mark(node), place, message)
            return Unreadable.VALUE
        return Scalar(result.text, plain=plain, substituted=result.used)

    def _tell(self, mark: Mark, place: Place, message: str) -> Unreadable:
        path = place_text(place, self._sealed)
        problem = Problem(self._file, mark.line, mark.column, path, message)
        self._problems.append(problem)
        return Unreadable.VALUE


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _syntax_problem(file: str, text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(error, ReaderError):
        before = text[: error.position]
        line = before.count("\n") + 1
        column = error.position - before.rfind("\n")
        message = "a control character that YAML does not allow; remove it"
        return Problem(file, line, column, "", message)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Problem(file, 1, 1, "", "this is not YAML")
    mark = error.problem_mark
    # PyYAML quotes what it met: a character or a token may be shown, a word may be a secret.
    what = _QUOTED.sub("", error.problem or "the text ends too early")
    if "'\\t'" in what:
        message = "a tab where YAML allows only spaces; indent with spaces"
    elif "single document" in (error.context or ""):
        message = "a second document (---) begins here; keep one document in the file"
    else:
        begun = f" ({error.context})" if error.context else ""
        message = f"this is not YAML: {what}{begun}; check quotes, brackets and indentation"
    return Problem(file, mark.line + 1, mark.column + 1, "", message)
