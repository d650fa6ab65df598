"""Credentials do not pass the redactor, and ordinary words do."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from kafka_self_healing.observability import Redactor
from kafka_self_healing.secret import Secret

AWKWARD = 'p"a\\s s/ü&'


@pytest.mark.parametrize(
    "form", [AWKWARD, json.dumps(AWKWARD), quote(AWKWARD), quote(AWKWARD, safe=""), repr(AWKWARD)]
)
def test_a_known_secret_is_hidden_in_each_form(form: str) -> None:
    """A secret is found as itself, in JSON, in a URL and in a repr."""
    hidden = Redactor([Secret(AWKWARD)]).text(f"tried {form} twice")

    assert AWKWARD not in hidden
    assert hidden.strip("'\"").startswith("tried ")
    assert "***" in hidden
    assert hidden.endswith(" twice")


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    """No tail is left of a secret that begins with another one."""
    assert Redactor([Secret("hunter"), Secret("hunter22")]).text("x hunter22 y") == "x *** y"


def test_a_secret_learnt_later_is_hidden() -> None:
    """What a reload brings is hidden from then on, and what was known stays hidden."""
    redactor = Redactor([Secret("first-one")])

    redactor.learn([Secret("second-one")])

    assert redactor.text("first-one second-one third-one") == "*** *** third-one"


def test_words_are_not_blacked_out() -> None:
    """Empty and very short secrets are not searched for."""
    assert Redactor([Secret(""), Secret("a")]).text("a cat") == "a cat"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password=hunter2 user=me", "password=*** user=me"),
        ("PASSWORD : hunter2", "PASSWORD : ***"),
        ("ssl.key.password=hun(ter,2 x", "ssl.key.password=*** x"),
        ('{"password": "hun ter", "user": "me"}', '{"password": ***, "user": "me"}'),
        ("{'api_key': 'hunter2', 'n': 1}", "{'api_key': ***, 'n': 1}"),
        ('required username="me" password="hun\\"ter";', 'required username="me" password=***;'),
        ("?access_token=hunter2", "?access_token=***"),
        ("run --admin-password hunter2 --now", "run --admin-password *** --now"),
        ("Authorization: Basic aHVudGVyMg==", "Authorization: ***"),
        ("sent Bearer hunter2.hunter2 to", "sent Bearer *** to"),
        ("amqp://me:hunter2@host:1/x", "amqp://me:***@host:1/x"),
        ("client_secret = hunter2", "client_secret = ***"),
    ],
)
def test_what_looks_like_a_credential_is_hidden(text: str, expected: str) -> None:
    """Passwords, tokens and keys are hidden by the name that stands before them."""
    assert Redactor().text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "node 1 at http://host:9092/path answers",
        "password authentication failed for user me",
        "3 tokens left, basic check done",
        "email me@example.org: sent",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """A sentence about passwords is not a password."""
    assert Redactor().text(text) == text


def test_values_are_redacted_at_any_depth() -> None:
    """Lists, tuples, mappings and objects hold no secret afterwards; numbers stay numbers."""
    redactor = Redactor([Secret("hunter2")])

    class Odd:
        def __repr__(self) -> str:
            return "<odd hunter2>"

    plain = redactor.value(
        {"a": ["hunter2", 1, None, True], "password": 5, "token": None, "o": (Odd(), Secret("x"))}
    )

    assert plain == {
        "a": ["***", 1, None, True],
        "password": "***",
        "token": None,
        "o": ["<odd ***>", "***"],
    }


def test_a_value_that_holds_itself_ends() -> None:
    """Nesting is followed to a fixed depth only."""
    endless: list[object] = ["hunter2"]
    endless.append(endless)

    assert "hunter2" not in repr(Redactor([Secret("hunter2")]).value(endless))


def test_a_long_line_takes_no_time() -> None:
    """The patterns do not run away on a megabyte without spaces."""
    line = "ab-._" * 200_000

    assert Redactor([Secret("hunter2")]).text(line) == line
