"""ZooKeeper: four-letter words, the AdminServer, and (by kazoo) the registered brokers.

Usable on its own: nothing here knows the rest of this project but its errors. Everything only
reads. ::

    member = Endpoint("zk1.example.org", 2181)
    reply = await srvr(member, timeout_s=2.0)
    print(reply.mode if reply.serving else "no quorum")
"""

from kafka_self_healing.wire.zookeeper.admin import admin_monitor, admin_ruok, admin_srvr
from kafka_self_healing.wire.zookeeper.brokers import registered_brokers
from kafka_self_healing.wire.zookeeper.errors import (
    ZooKeeperAuthenticationError,
    ZooKeeperAuthorisationError,
    ZooKeeperClientMissingError,
    ZooKeeperClosedError,
    ZooKeeperError,
    ZooKeeperNotWhitelistedError,
    ZooKeeperProtocolError,
    ZooKeeperRefusedError,
    ZooKeeperResetError,
    ZooKeeperSetupError,
    ZooKeeperTimedOutError,
    ZooKeeperTlsError,
    ZooKeeperUnreachableError,
    ZooKeeperUnsupportedError,
)
from kafka_self_healing.wire.zookeeper.exchange import MAX_ANSWER_BYTES, Endpoint
from kafka_self_healing.wire.zookeeper.replies import ConfReply, MonitorReply, ServerReply
from kafka_self_healing.wire.zookeeper.words import conf, mntr, ruok, srvr, stat

__all__ = [
    "MAX_ANSWER_BYTES",
    "ConfReply",
    "Endpoint",
    "MonitorReply",
    "ServerReply",
    "ZooKeeperAuthenticationError",
    "ZooKeeperAuthorisationError",
    "ZooKeeperClientMissingError",
    "ZooKeeperClosedError",
    "ZooKeeperError",
    "ZooKeeperNotWhitelistedError",
    "ZooKeeperProtocolError",
    "ZooKeeperRefusedError",
    "ZooKeeperResetError",
    "ZooKeeperSetupError",
    "ZooKeeperTimedOutError",
    "ZooKeeperTlsError",
    "ZooKeeperUnreachableError",
    "ZooKeeperUnsupportedError",
    "admin_monitor",
    "admin_ruok",
    "admin_srvr",
    "conf",
    "mntr",
    "registered_brokers",
    "ruok",
    "srvr",
    "stat",
]
