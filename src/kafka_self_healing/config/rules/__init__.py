"""What the values of a file must be to each other. Each rule is a function that yields problems.

The rules see whatever the schema accepted, so that their problems come with the schema's.
"""

from __future__ import annotations

from kafka_self_healing.config.document import Document
from kafka_self_healing.config.parts import Parts
from kafka_self_healing.config.rules import acts, checks, inventory, logins, services, tls_files
from kafka_self_healing.errors import Problem

RULES = (
    inventory.roles_and_mode,
    inventory.ports,
    inventory.unique_ids,
    inventory.unique_endpoints,
    inventory.unique_data_dirs,
    services.placeholders,
    services.reached,
    services.one_process_each,
    services.log_sources,
    logins.belongs_to_a_node,
    logins.of_listeners,
    logins.in_clear,
    logins.of_others,
    logins.of_mail,
    tls_files.usable,
    checks.kinds,
    checks.targets,
    checks.answers,
    checks.canary,
    acts.rungs,
    acts.ladders_within_budgets,
    acts.windows_within_memory,
    acts.stops_within_limits,
)


def broken_rules(document: Document, parts: Parts) -> list[Problem]:
    """Return a problem for each contradiction between values that are well by themselves."""
    return [problem for rule in RULES for problem in rule(document, parts)]
