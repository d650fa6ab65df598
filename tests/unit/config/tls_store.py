"""PEM files for the tests of the configuration: right ones, and one for each mistake."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from tests.integration.clusters.pki import Authority, Issued

KEY_PASSWORD = "key-pass-word"


@functools.cache
def _issued() -> tuple[Issued, Issued]:
    authority = Authority("ca")
    return authority.issue("healer"), authority.issue("other")


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of files, by their names; each may be named by a configuration in it."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Store:
        """Write the files into `folder`."""
        mine, other = _issued()
        key, whole = mine.key_pem(), mine.pem()
        files = {
            "ca.pem": whole[whole.rindex(b"-----BEGIN CERTIFICATE") :],
            "both.pem": whole,
            "cert.pem": whole[whole.index(b"-----BEGIN CERTIFICATE") :],
            "key.pem": key,
            "locked.pem": mine.key_pem(KEY_PASSWORD),
            "other-key.pem": other.key_pem(),
            "store.jks": b"\xfe\xed\xfe\xed\x00\x00",
            "broken.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + key,
            "token": b"abc",
        }
        for name, content in files.items():
            path = folder / name
            path.write_bytes(content)
            path.chmod(0o600)
        return cls(folder)
