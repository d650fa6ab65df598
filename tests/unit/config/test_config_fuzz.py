"""Whatever a file holds: settings or problems, and no secret in either."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import BaseModel
from tests.unit.config.config_files import VALID, changed, refuse
from tests.unit.config.tls_store import Store

from kafka_self_healing.config import load
from kafka_self_healing.config.schema import SECRET_KEYS, ConfigFile
from kafka_self_healing.errors import ConfigError

SECRET = "correct-horse-battery"
BY_VARIABLE = "staple-of-the-environment"
BY_FILE = "staple-of-a-file"
ENVIRON = {"SECRET": BY_VARIABLE, "PORT": "9092"}
LOGIN = {"mechanism": "SCRAM-SHA-512", "username": "u", "password": SECRET}
ENDPOINT = {"url": "https://h/t", "client_id": "c", "client_secret": "${file:secret}"}

RICH: dict[str, Any] = {
    **copy.deepcopy(VALID),
    "checks": {
        "http": [{"name": "a", "url": "http://h/{id}", "username": "u", "password": SECRET},
                 {"name": "b", "url": "https://h", "bearer": "${SECRET}", "tls": True,
                  "secret_headers": {"X-Key": SECRET}}],
        "commands": [{"name": "c", "argv": ["/bin/true", "{id}"]}],
        "canary": {"topic": "canary"},
    },
    "notifications": {"email": {"host": "localhost", "from": "a@b", "to": ["c@d"],
                                "username": "u", "password": "${SECRET}"}},
}  # fmt: skip
RICH["cluster"] |= {
    "access": {"ssh": {"user": "kafka"}},
    "log": {"file": "/var/log/kafka/{id}.log"},
    "security": {
        "kafka": {"tls": {"cert_file": "cert.pem", "key_file": "locked.pem",
                          "key_password": "key-pass-word"}, "sasl": LOGIN},
        "controller": {"tls": True, "sasl": {"mechanism": "OAUTHBEARER",
                                             "token_endpoint": ENDPOINT}},
        "jmx": {"username": "u", "password": SECRET},
    },
}  # fmt: skip

Place = tuple[str | int, ...]


def _places(value: Any, place: Place = ()) -> Iterator[Place]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*place, key)
        yield from _places(item, (*place, key))


def _known_keys(section: type[BaseModel], seen: set[Any]) -> Iterator[str]:
    seen.add(section)
    yield from (field.alias or name for name, field in section.model_fields.items())
    for field in section.model_fields.values():
        for kind in _sections(field.annotation):
            if kind not in seen:
                yield from _known_keys(kind, seen)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _sections(part)


KEYS = sorted(set(_known_keys(ConfigFile, set())))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 70_000), st.floats(), st.text(max_size=8),
    st.sampled_from([
        "zookeeper", "kraft", "systemd", "docker", "local", "{id}", "{x}", "${SECRET}", "${PORT}",
        "${NONE}", "${file:secret}", "${file:gone}", "broker", "controller", "PLAIN", "GSSAPI",
        "http://[", "https://h:99999/", "http://{host}", ".", "cert.pem", "ca.pem", "/", "1",
        SECRET, "service:start", "CANARY", "\u2028", "*", "::1", "a:b",
    ]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4),
    ),
    max_leaves=8,
)
PLACES = sorted(_places(RICH), key=str)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the documents name."""
    made = tmp_path_factory.mktemp("fuzz")
    Store.make(made)
    (made / "secret").write_text(BY_FILE)
    return made


def _loaded(folder: Path, text: str) -> tuple[str, str]:
    """Load a text; return its problems, and what its settings show of themselves."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        found = load(path, ENVIRON)
    except ConfigError as error:
        placed = all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)
        return str(error) if placed else "", ""
    return "", "\n".join((repr(found.cluster), repr(found.notification), *found.notes))


def test_the_rich_document_is_good(folder: Path) -> None:
    """What the others are made of has no problem by itself."""
    problems, shown = _loaded(folder, yaml.safe_dump(RICH))

    assert problems == ""
    assert "kafka" in shown
    assert not any(secret in shown for secret in (SECRET, BY_VARIABLE, BY_FILE))


@given(data=st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_document_gives_settings_or_problems(folder: Path, data: st.DataObject) -> None:
    """Parts of a good file are replaced, removed or put elsewhere; nothing else is ever raised."""
    tree = copy.deepcopy(RICH)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(PLACES))
        value = data.draw(VALUES)
        inner: Any = tree
        try:
            for step in place[:-1]:
                inner = inner[step]
            if data.draw(st.booleans()):
                inner[place[-1]] = value
            else:
                inner.pop(place[-1])
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)

    problems, _ = _loaded(folder, text)

    for secret in (BY_VARIABLE, BY_FILE, "key-pass-word"):
        assert secret not in problems


HELD = [
    place
    for place in PLACES
    if {place[-1], place[-2:-1] and place[-2]} & SECRET_KEYS and place[-1] != "secret_headers"
]
"""Where one secret stands. (The keys of secret_headers are names of headers, and no secrets.)"""


@given(value=VALUES, place=st.sampled_from(HELD))
@settings(max_examples=25, deadline=None)
def test_a_secret_in_any_shape_is_never_told(folder: Path, value: object, place: Place) -> None:
    """A list, a mapping, a number where a password belongs: the problem shows nothing of it."""
    tree = copy.deepcopy(RICH)
    inner: Any = tree
    for step in place[:-1]:
        inner = inner[step]
    shapes = [value, [SECRET, value], {SECRET: value}, {"a": {SECRET: SECRET}}, SECRET, [[SECRET]]]

    for shape in shapes:
        inner[place[-1]] = shape
        assert SECRET not in "".join(_loaded(folder, yaml.safe_dump(tree, allow_unicode=True)))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_text_gives_settings_or_problems(folder: Path, data: st.DataObject) -> None:
    """The text of a good file with pieces cut out, doubled and put in."""
    text = yaml.safe_dump(RICH)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(at, min(len(text), at + 30)))
        put = data.draw(
            st.text(max_size=6) | st.sampled_from(["\n", ": ", "- ", "{", "[", "&a ", "*a", "!x "])
        )
        text = text[:at] + put + text[end if data.draw(st.booleans()) else at :]

    assert any(_loaded(folder, text))


WAYS = [
    "*SECRET",
    "&SECRET",
    "!SECRET x",
    "!SECRET!x y",
    "!<SECRET> x",
    '"SECRET',
    "'SECRET",
    "SECRET: x",
    "{SECRET: 1, SECRET: 2}",
    "{SECRET}",
    "[SECRET",
    "{SECRET: ",
    "@SECRET",
    "%SECRET",
    "`SECRET",
    "|SECRET",
    "> SECRET",
    "? SECRET",
    "- SECRET",
    '"\\SECRET"',
    "<<: SECRET",
    "{<<: SECRET}",
    "SECRET\n\tSECRET",
    "SECRET ${",
    "${file:gone} SECRET",
]


@pytest.mark.parametrize("way", WAYS)
def test_a_password_that_is_no_yaml_is_never_told(way: str, tmp_path: Path) -> None:
    """A password with signs that mean something in YAML: the mistake is told, not the password."""
    email = {"host": "localhost", "from": "a@b", "to": ["c@d"], "username": "u", "password": "WAY"}
    text = changed({"notifications.email": email}).replace("WAY", way)

    problems = refuse(tmp_path, text.replace("SECRET", SECRET))

    assert SECRET not in "\n".join(map(str, problems))
