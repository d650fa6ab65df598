"""JMX over RMI without a JVM: a read-only client in pure Python, on asyncio.

::

    client = JmxClient("broker-1", 9999)
    (runtime,) = await client.read([("java.lang:type=Runtime", ["Uptime", "VmName"])])

Nothing but reading can be said with it: no attribute is ever set and no operation invoked.
"""

from kafka_self_healing.wire.jmx.client import JmxClient
from kafka_self_healing.wire.jmx.connecting import TlsContext, plain_words
from kafka_self_healing.wire.jmx.errors import (
    JmxAccessDenied,
    JmxAuthenticationError,
    JmxConnectError,
    JmxError,
    JmxNameError,
    JmxNotFound,
    JmxProtocolError,
    JmxRemoteError,
    JmxSessionGone,
    JmxSetupError,
    JmxTimeout,
    JmxTlsError,
)
from kafka_self_healing.wire.jmx.values import (
    EnumName,
    JavaObject,
    JmxKey,
    JmxValue,
    Limits,
    ObjectName,
)

__all__ = [
    "EnumName",
    "JavaObject",
    "JmxAccessDenied",
    "JmxAuthenticationError",
    "JmxClient",
    "JmxConnectError",
    "JmxError",
    "JmxKey",
    "JmxNameError",
    "JmxNotFound",
    "JmxProtocolError",
    "JmxRemoteError",
    "JmxSessionGone",
    "JmxSetupError",
    "JmxTimeout",
    "JmxTlsError",
    "JmxValue",
    "Limits",
    "ObjectName",
    "TlsContext",
    "plain_words",
]
