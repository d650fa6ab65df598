"""DescribeConfigs: the settings in force of topics and of the broker that is asked."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kafka_self_healing.wire.kafka.primitives import Reader, write_array, write_string
from kafka_self_healing.wire.kafka.request import Api, Request

TOPIC_SAFETY_KEYS = ("min.insync.replicas", "unclean.leader.election.enable")


class ResourceType(enum.IntEnum):
    """What a setting belongs to."""

    TOPIC = 2
    BROKER = 4


@dataclass(frozen=True, slots=True)
class ConfigResource:
    """A topic by its name, or a broker by its node id as text (ask that broker itself)."""

    type: ResourceType
    name: str
    keys: tuple[str, ...] | None  # None: all settings


@dataclass(frozen=True, slots=True)
class ConfigValues:
    """The settings of one resource, or its own `error` (29 and 31: the right DESCRIBE_CONFIGS)."""

    type: int
    name: str
    error: int
    message: str | None
    values: Mapping[str, str | None]  # None: not set, or secret

    def integer(self, key: str) -> int | None:
        """Return a number (units as in Kafka's documentation); None: absent or no number."""
        text = self.values.get(key)
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def boolean(self, key: str) -> bool | None:
        """Return a switch; None: absent or neither `true` nor `false`."""
        return {"true": True, "false": False}.get(self.values.get(key) or "")


@dataclass(frozen=True, slots=True)
class ConfigsReply:
    """One entry for each resource that was asked for."""

    results: tuple[ConfigValues, ...]


@dataclass(frozen=True, slots=True)
class DescribeConfigs(Request[ConfigsReply]):
    """Ask for settings. Needs the right DESCRIBE_CONFIGS on the topics, or on the cluster."""

    api: ClassVar[Api] = Api(key=32, name="DescribeConfigs", lowest=1, highest=4, first_flexible=4)

    resources: tuple[ConfigResource, ...]

    @classmethod
    def of_topics(cls, names: tuple[str, ...]) -> DescribeConfigs:
        """Return the request for the settings on which the safety of topics rests."""
        return cls(tuple(ConfigResource(ResourceType.TOPIC, x, TOPIC_SAFETY_KEYS) for x in names))

    @classmethod
    def of_broker(cls, node_id: int, keys: tuple[str, ...]) -> DescribeConfigs:
        """Return the request for settings `keys` of the broker that will be asked."""
        return cls((ConfigResource(ResourceType.BROKER, str(node_id), keys),))

    def encode(self, version: int) -> bytes:
        """Return the body: no synonyms, no documentation."""
        flexible = self.api.is_flexible(version)
        end = b"\0" if flexible else b""

        def write_key(key: str) -> bytes:
            return write_string(key, flexible=flexible)

        def write_resource(resource: ConfigResource) -> bytes:
            keys = write_array(resource.keys, write_key, flexible=flexible)
            return bytes((resource.type,)) + write_key(resource.name) + keys + end

        body = write_array(self.resources, write_resource, flexible=flexible)
        body += b"\0"  # include_synonyms
        if version >= 3:
            body += b"\0"  # include_documentation
        return body + end

    def decode(self, reader: Reader, version: int) -> ConfigsReply:
        """Read the reply; the errors of single resources stay in it."""
        reader.int32()  # throttle time
        results = tuple([_read_result(reader, version) for _ in range(reader.count(7))])
        reader.tags()
        return ConfigsReply(results)


def _read_result(reader: Reader, version: int) -> ConfigValues:
    error, message = reader.int16(), reader.nullable_string()
    resource_type, name = reader.int8(), reader.string()
    values: dict[str, str | None] = {}
    for _ in range(reader.count(6)):
        key = reader.string()
        values[key] = reader.nullable_string()
        reader.take(3)  # read_only, config_source, is_sensitive
        for _ in range(reader.count(4)):
            reader.string(), reader.nullable_string(), reader.int8()
            reader.tags()
        if version >= 3:
            reader.int8()  # config_type
            reader.nullable_string()  # documentation
        reader.tags()
    reader.tags()
    return ConfigValues(resource_type, name, error, message, values)
