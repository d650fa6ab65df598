from kafka_self_healing.config import (
    ClusterConfig as ClusterConfig,
    ConfigurationManager as ConfigurationManager,
    NotificationConfig as NotificationConfig,
)
from kafka_self_healing.model.event import (
    Event as Event,
)
from kafka_self_healing.model.evidence import (
    CheckResult as CheckResult,
)
from kafka_self_healing.model.health import (
    NodeStatus as NodeStatus,
)
from kafka_self_healing.model.incident import (
    Condition as Condition,
    Diagnosis as Diagnosis,
    Incident as Incident,
)
from kafka_self_healing.model.node import (
    NodeConfig as NodeConfig,
)
from kafka_self_healing.model.recovery import (
    RecoveryRequest as RecoveryRequest,
    RecoveryResult as RecoveryResult,
    RetryPolicy as RetryPolicy,
)
from kafka_self_healing.monitoring import (
    HealthChecker as HealthChecker,
    JMXMonitoringPlugin as JMXMonitoringPlugin,
    KafkaMonitoringPlugin as KafkaMonitoringPlugin,
    MonitoringService as MonitoringService,
    ServiceMonitoringPlugin as ServiceMonitoringPlugin,
    SocketMonitoringPlugin as SocketMonitoringPlugin,
    ZookeeperMonitoringPlugin as ZookeeperMonitoringPlugin,
)
from kafka_self_healing.notification import (
    DeliveryQueue as DeliveryQueue,
    EmailNotifier as EmailNotifier,
    NotificationService as NotificationService,
    NotificationTemplate as NotificationTemplate,
)
from kafka_self_healing.observability import (
    AuditLogger as AuditLogger,
    LoggingService as LoggingService,
    LogRotator as LogRotator,
)
from kafka_self_healing.plugins.contract import (
    MonitoringPlugin as MonitoringPlugin,
    NotificationPlugin as NotificationPlugin,
    RecoveryAction as RecoveryAction,
    RecoveryPlugin as RecoveryPlugin,
)
from kafka_self_healing.recovery import (
    RecoveryEngine as RecoveryEngine,
    ServiceRestartPlugin as ServiceRestartPlugin,
)

__version__: str
HOMES: dict[str, str]
