"""What all requests have in common: the API they belong to, how they are written and answered."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from kafka_self_healing.wire.kafka.primitives import Reader

ReplyT = TypeVar("ReplyT")


@dataclass(frozen=True, slots=True)
class Api:
    """One Kafka API and the versions of it that we speak."""

    key: int
    name: str
    lowest: int
    highest: int
    first_flexible: int

    def is_flexible(self, version: int) -> bool:
        """Return whether `version` has compact lengths and tagged fields."""
        return version >= self.first_flexible


class Request(abc.ABC, Generic[ReplyT]):
    """A read-only request. `forwarded`: a KRaft broker passes it on to the controller and does not
    answer without one; every later request on that connection then waits behind it. Send such a
    request on a connection of its own.
    """

    __slots__ = ()

    api: ClassVar[Api]
    forwarded: ClassVar[bool] = False

    @property
    def lowest_version(self) -> int:
        """The lowest version that can carry what this request asks."""
        return self.api.lowest

    @abc.abstractmethod
    def encode(self, version: int) -> bytes:
        """Return the body of the request, without its header."""

    @abc.abstractmethod
    def decode(self, reader: Reader, version: int) -> ReplyT:
        """Read the body of the reply.

        Raises KafkaProtocolError when it is broken; KafkaAuthorisationError and
        KafkaWrongListenerError when the node says so. Other error codes stay in the reply.
        """
