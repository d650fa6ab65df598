"""A secret shows itself to nobody who does not ask."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from kafka_self_healing.secret import Secret


def test_a_secret_prints_as_stars() -> None:
    """repr, str and format never hold the text."""
    secret = Secret("hunter2")
    assert {repr(secret), str(secret), f"{secret}", f"{[secret]}"[1:-1]} == {"***"}
    assert secret.reveal() == "hunter2"


def test_secrets_compare_by_their_text() -> None:
    """A reload can tell whether a password changed."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1


def test_a_secret_is_not_pickled() -> None:
    """It does not travel to another process by accident."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("hunter2"))


def test_no_core_file_is_written_but_of_programs_that_we_start() -> None:
    """The process is not dumpable; what it starts is again."""
    code = (
        "import ctypes, subprocess, sys\n"
        "from kafka_self_healing.secret import keep_out_of_cores\n"
        "assert keep_out_of_cores()\n"
        "get = 'import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))'\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)\n"
        "subprocess.run([sys.executable, '-c', get], check=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]
