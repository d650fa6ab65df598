"""ObjectNames are checked before they are sent."""

from __future__ import annotations

import pytest

from kafka_self_healing.wire.jmx import JmxNameError
from kafka_self_healing.wire.jmx.object_name import (
    check_attributes,
    check_object_name,
    check_pattern,
)

_NAMES = [
    "java.lang:type=Runtime",
    "kafka.server:type=raft-metrics",
    "kafka.network:type=RequestMetrics,name=TotalTimeMs,request=Produce",
    ":k=v",
    "d:k=",
    "d:k=a b, x =y",
    'd:k="a,b=c:d\\*\\n"',
    "d:k=a/b'c\\",
]
_PATTERNS = [
    "*:*",
    "d*:k=v",
    "?:k=v",
    "d:*",
    "d:k=v,*",
    "d:*,k=v",
    "d:k=a*",
    'd:k="a*"',
    "d:k=a\\*",
]
_MALFORMED = [
    "",
    "d",
    "d:",
    "d:k",
    "d:=v",
    "d:k=v,",
    "d:k=v,k=w",
    "d:*,*",
    "d:k=a=b",
    "d:k=a:b",
    'd:k=a"b',
    'd:k="a',
    'd:k="a"b',
    'd:k="a\\x"',
    "d:k=a\nb",
    "d\n:k=v",
    "d:k*=v",
    "d:k=" + "v" * 5000,
]


@pytest.mark.parametrize("name", _NAMES)
def test_full_names_pass(name: str) -> None:
    """A name of one MBean passes both checks."""
    check_pattern(name)
    assert check_object_name(name) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("pattern", _PATTERNS)
def test_patterns_are_not_names(pattern: str) -> None:
    """A wildcard may be searched for, but no attributes can be read of it."""
    check_pattern(pattern)
    with pytest.raises(JmxNameError, match="pattern"):
        check_object_name(pattern)


@pytest.mark.parametrize("name", _MALFORMED)
def test_malformed_names_are_refused(name: str) -> None:
    """What the server could not read is refused, and says that nothing was asked."""
    with pytest.raises(JmxNameError) as caught:
        check_pattern(name)
    assert caught.value.outcome == "not_asked"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("names", [(), ("",), ("a" * 5000,), tuple(map(str, range(257)))])
def test_attribute_names_are_bounded(names: tuple[str, ...]) -> None:
    """Neither too many nor empty nor endless attribute names are sent."""
    with pytest.raises(JmxNameError):
        check_attributes(names)
