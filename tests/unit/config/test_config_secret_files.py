"""`${file:PATH}`: what a file holds, and nothing of it in a message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.config.config_files import changed, read, refuse

from kafka_self_healing.config.secret_files import MAX_BYTES, SecretFiles, Unfit

EMAIL = {"host": "localhost", "from": "a@b", "to": ["c@d"], "username": "u"}


def _file(folder: Path, content: bytes, mode: int = 0o600, name: str = "secret") -> Path:
    path = folder / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b" two words \n\n", " two words \n"),
        ("ä${A}".encode(), "ä${A}"),
    ],
)
def test_a_file_is_read_without_its_last_newline(content: bytes, text: str, tmp_path: Path) -> None:
    """What an editor puts at the end is no part of a password; the rest is, and is not parsed."""
    _file(tmp_path, content)

    assert SecretFiles(tmp_path).text("secret") == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * (MAX_BYTES + 1), "is larger than"),
    ],
)
def test_what_is_no_secret_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    """An empty, huge or binary file is a mistake; the text says which file."""
    _file(tmp_path, content)

    with pytest.raises(Unfit, match=f"secret {reason}"):
        SecretFiles(tmp_path).text("secret")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A folder, a pipe without a writer and a missing file neither block nor raise."""
    os.mkfifo(tmp_path / "pipe")

    for path, reason in (
        (".", "is a directory|not an ordinary file"),
        ("pipe", "not an ordinary file"),
        ("none", "no such file"),
        ("~/x", "whole path"),
        ("", "whole path"),
    ):
        with pytest.raises(Unfit, match=reason):
            SecretFiles(tmp_path).text(path)


def test_the_secret_reaches_the_settings_and_shows_nowhere(tmp_path: Path) -> None:
    """A relative path counts from the folder of the configuration."""
    _file(tmp_path, b"hunter2\n")

    settings = read(
        tmp_path, changed({"notifications.email": {**EMAIL, "password": "${file:secret}"}})
    )

    assert settings.notification.email is not None
    assert settings.notification.email.password is not None
    assert settings.notification.email.password.reveal() == "hunter2"
    assert "hunter2" not in repr(settings)
    assert settings.notes == ()


def test_a_file_that_others_may_read_is_noted_once(tmp_path: Path) -> None:
    """It is allowed (a Kubernetes secret is so), and told with the remedy."""
    path = _file(tmp_path, b"hunter2", mode=0o644)
    email = {**EMAIL, "username": f"${{file:{path}}}", "password": f"${{file:{path}}}"}

    (note,) = read(tmp_path, changed({"notifications.email": email})).notes

    assert note.startswith(f"{path} (mode 0644) may be read by others")
    assert f"chmod 600 {path}" in note


def test_a_missing_file_is_told_at_its_value(tmp_path: Path) -> None:
    """The path of the file and the place of the value, and nothing follows from it."""
    (problem,) = refuse(
        tmp_path, changed({"notifications.email": {**EMAIL, "password": "${file:gone}"}})
    )

    assert problem.path == "notifications.email.password"
    assert "the file gone cannot be read: no such file" in problem.message


def test_a_variable_called_file_is_still_a_variable(tmp_path: Path) -> None:
    """`${file:-x}` has been a variable with a default before files could be read."""
    assert read(tmp_path, changed({"cluster.name": "${file:-orders}"})).cluster.name == "orders"
