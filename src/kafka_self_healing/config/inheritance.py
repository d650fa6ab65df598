"""What the cluster gives to a node that does not say it itself, and what is filled in for it."""

from __future__ import annotations

from typing import Any

from kafka_self_healing.config.schema import NodeDefaults, NodeSection
from kafka_self_healing.config.schema_access import SecuritySection
from kafka_self_healing.config.section import PLACEHOLDER, S, filled
from kafka_self_healing.model.node import Role

PORT_OF = {
    "kafka_port": Role.BROKER,
    "controller_port": Role.CONTROLLER,
    "zookeeper_port": Role.ENSEMBLE,
}
"""The ports that belong to a role; jmx_port belongs to every process."""

SECURITY_OF = {"kafka": Role.BROKER, "controller": Role.CONTROLLER, "zookeeper": Role.ENSEMBLE}
"""The sections of `security` that belong to a role; `jmx` belongs to a node with a jmx_port."""


def complete(node: NodeSection, defaults: NodeDefaults) -> NodeSection:
    """Return a node with the cluster's defaults and its placeholders filled in.

    A placeholder that nobody knows stays as it is; a rule tells of it.
    """
    changes: dict[str, Any] = {"security": _security(node, defaults)}
    for name in NodeDefaults.model_fields:
        role = PORT_OF.get(name)
        wanted = role is None or role in node.roles
        if name != "security" and name not in node.model_fields_set and wanted:
            changes[name] = getattr(defaults, name)
    whole = node.model_copy(update=changes)
    if whole.jmx_port is None and "jmx" not in node.security.model_fields_set:
        plain = whole.security.model_copy(update={"jmx": SecuritySection().jmx})
        whole = whole.model_copy(update={"security": plain})
    return fill_in(whole, node)


def fill_in(section: S, node: NodeSection, *, url: bool = False) -> S:
    """Return a section with `{id}` and `{host}` of a node; in a `url` an IPv6 address has brackets.

    A URL is the only text in which it could not stand bare.
    """
    host = f"[{node.host}]" if url and ":" in node.host else node.host
    values = {"id": node.id, "host": host}
    return filled(section, lambda text: PLACEHOLDER.sub(lambda m: values.get(m[1], m[0]), text))


def _security(node: NodeSection, defaults: NodeDefaults) -> SecuritySection:
    """Return the node's own sections, the cluster's for its roles, and nothing for the others."""
    sections = {}
    for name in SecuritySection.model_fields:
        role = SECURITY_OF.get(name)
        if name in node.security.model_fields_set:
            sections[name] = getattr(node.security, name)
        elif role is None or role in node.roles:
            sections[name] = getattr(defaults.security, name)
    return SecuritySection().model_copy(update=sections)
