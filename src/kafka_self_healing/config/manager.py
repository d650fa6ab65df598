"""`ConfigurationManager`: the configuration in force, and its exchange as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kafka_self_healing.config.loading import load
from kafka_self_healing.config.settings import Settings
from kafka_self_healing.errors import ConfigError, Problem


class ConfigurationManager:
    """Holds the settings of one file. A file with a problem never changes what is in force."""

    def __init__(self, source: Path | str, environ: Mapping[str, str] | None = None) -> None:
        """Load `source`. Raises ConfigError; then there is no manager."""
        self._source = Path(source).absolute()
        self._environ = environ
        self._current = load(self._source, environ)

    @property
    def current(self) -> Settings:
        """The settings in force; one object, never half old and half new."""
        return self._current

    def reload(self) -> Settings:
        """Read the file again and put it in force as a whole; return it.

        Raises ConfigError if anything is wrong, or if something changed that a running daemon
        cannot change (its state folder, the cluster's name). The old settings stay in force.
        """
        fresh = load(self._source, self._environ)
        problems = self._fixed(fresh)
        if problems:
            raise ConfigError(problems)
        self._current = fresh
        return fresh

    def _fixed(self, fresh: Settings) -> list[Problem]:
        old = self._current
        values = (
            ("state_dir", str(old.state_dir), str(fresh.state_dir)),
            ("cluster.name", old.cluster.name, fresh.cluster.name),
            ("cluster.mode", old.cluster.mode.value, fresh.cluster.mode.value),
        )
        file = str(self._source)
        return [
            Problem(file, 1, 1, path, f"cannot change while running (now {was}); stop and start")
            for path, was, now in values
            if was != now
        ]
