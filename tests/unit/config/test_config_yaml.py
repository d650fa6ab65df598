"""YAML is read with positions, without the surprises of YAML 1.1, and within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.config.config_files import changed, read, refuse

from kafka_self_healing.config.document import Scalar
from kafka_self_healing.config.yaml_source import MAX_DEPTH, parse_yaml
from kafka_self_healing.errors import ConfigError, Problem
from kafka_self_healing.model.access import CommandService


def _refused(text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        parse_yaml("f.yaml", text, {})
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "the file is empty"),
        ("# only a comment\n", 1, 1, "the file is empty"),
        ("\n- a\n", 2, 1, "must be a mapping"),
        ("just words\n", 1, 1, "must be a mapping"),
        ("a: [1, 2\nb: 3\n", 2, 2, "this is not YAML"),
        ("a: 'x\n", 2, 1, "this is not YAML"),
        ("a:\n\tb: 1\n", 2, 1, "a tab where YAML allows only spaces"),
        ("a: 1\n---\nb: 1\n", 2, 1, "a second document"),
        ("a: 1\nb: \x07\n", 2, 4, "a control character"),
        ("a: *nobody\n", 1, 4, "undefined alias"),
        ("a: " + "[" * 50 + "]" * 50, 1, 3 + MAX_DEPTH, "nested more than 20 levels deep"),
        ("a: &x [*x]\n", 1, 4, "expand to too many values"),
    ],
)
def test_what_is_no_tree_is_refused_at_its_place(
    text: str, line: int, column: int, message: str
) -> None:
    """Text that is not a bounded tree of YAML is one problem at its line and column."""
    (problem,) = _refused(text)

    assert message in problem.message
    assert (problem.line, problem.column) == (line, column)


def test_aliases_cannot_grow_without_bound() -> None:
    """Nine levels of nine aliases (the billion laughs) end as a problem, at once."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

    problems = _refused("\n".join(rows))

    assert "too many values" in problems[-1].message


def test_lesser_problems_are_kept_in_the_document() -> None:
    """Duplicate keys, tags, merge keys and keys that are no names are told; the rest is read."""
    text = "a: 1\na: 2\nb: !!python/name:os.system x\n<<: {c: 1}\n? [k]\n: 1\nd: 4\n"

    document = parse_yaml("f.yaml", text, {})

    assert [(p.line, p.column, p.path) for p in document.problems] == [
        (2, 1, "a"),
        (3, 4, "b"),
        (4, 1, ""),
        (5, 3, ""),
    ]
    assert "first in line 1" in document.problems[0].message
    assert document.at(("d",)) == "4"
    assert document.at(("a",)) == "1"


@pytest.mark.parametrize("word", ["no", "yes", "on", "22:30", "012", "1_000", "0x10", "1e3", "NO"])
def test_the_traps_of_yaml_1_1_stay_texts(word: str, tmp_path: Path) -> None:
    """A rack named `no` is named `no`."""
    text = changed({"cluster.nodes.0.rack": "RACK"}).replace("RACK", word)

    assert read(tmp_path, text).cluster.nodes["1"].rack == word


@pytest.mark.parametrize("word", ["no", "012", "0x10", "1_000", "1e3", ".inf", "nan", "", "null"])
def test_only_plain_numbers_are_numbers(word: str, tmp_path: Path) -> None:
    """What YAML 1.1 would silently turn into a number is refused where a number is needed."""
    text = changed({"policy.interval_s": "WORD"}).replace("WORD", word)

    (problem,) = refuse(tmp_path, text)

    assert problem.path == "policy.interval_s"


def test_numbers_in_a_command_are_passed_as_they_are_written(tmp_path: Path) -> None:
    """An argument such as -9 or 0644 needs no quotes and reaches the program unchanged."""
    text = changed({"cluster.service.kill": ["/bin/kill", "ARGS"]}).replace(
        "- ARGS", "- -9\n    - 0644\n    - 1.10\n    - true"
    )

    service = read(tmp_path, text).cluster.nodes["1"].service

    assert isinstance(service, CommandService)
    assert service.kill == ("/bin/kill", "-9", "0644", "1.10", "true")


def test_aliases_and_anchors_repeat_a_value(tmp_path: Path) -> None:
    """An anchor may be used again, for instance for a node's service."""
    text = changed({"cluster.nodes.0.rack": "R1", "cluster.nodes.1.rack": "R2"})
    text = text.replace("R1", "&rack west").replace("R2", "*rack")

    settings = read(tmp_path, text)

    assert [settings.cluster.nodes[id_].rack for id_ in ("1", "2")] == ["west", "west"]


def test_a_scalar_remembers_how_it_was_written() -> None:
    """Quotes and variables are kept beside the text."""
    document = parse_yaml("f.yaml", "a: x\nb: 'y'\nc: ${V}\nd: null\n", {"V": "z"})

    a, b, c = (document.at((key,)) for key in "abc")
    assert isinstance(a, Scalar)
    assert isinstance(b, Scalar)
    assert isinstance(c, Scalar)
    assert [(s, s.plain, s.substituted) for s in (a, b, c)] == [
        ("x", True, False),
        ("y", False, False),
        ("z", True, True),
    ]
    assert document.at(("d",)) is None
