"""`${NAME}`, `${NAME:-default}` and `${file:PATH}` in a text: the environment, and files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kafka_self_healing.config.secret_files import SecretFiles, Unfit

_REFERENCE = re.compile(
    r"\$\$\{|\$\{file:(?!-)(?P<file>[^}]*)\}|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<or>:-(?P<default>[^}]*))?\}|\$\{"
)


@dataclass(frozen=True, slots=True)
class Substituted:
    """A text after substitution; `used`: it names a variable or file; `problems`: what failed.

    A default that was written in the file is not secret, but it is treated like a variable's value.
    """

    text: str
    used: bool
    problems: tuple[str, ...] = ()


def substitute(text: str, environ: Mapping[str, str], files: SecretFiles) -> Substituted:
    """Replace each reference in `text`; `$${` gives `${`. As in a shell, `:-` covers empty too."""
    problems: list[str] = []
    used = False

    def value(match: re.Match[str]) -> str:
        nonlocal used
        if match[0] == "$${":
            return "${"
        name = match["name"]
        if name is None and match["file"] is None:
            problems.append(
                "`${` begins a variable, but no ${NAME}, ${NAME:-default} or ${file:PATH} "
                "follows; write $${ for the characters themselves"
            )
            return ""
        used = True
        if name is None:
            try:
                return files.text(match["file"])
            except Unfit as error:
                problems.append(str(error))
                return ""
        given = environ.get(name)
        if match["or"] is not None:
            return given or match["default"]
        if given is None:
            problems.append(
                f"the environment variable {name} is not set; "
                f"set it, or give a default: ${{{name}:-default}}"
            )
            return ""
        return given

    replaced = _REFERENCE.sub(value, text)
    return Substituted(replaced, used, tuple(problems))
