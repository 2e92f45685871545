"""The ledger's statements under one name; see the modules they come from."""

from inventiv_operator.store.ledger_deployments import (
    insert_instances,
    mark_instance_ready,
    open_deployment,
    rebind_deployment,
    set_backoff,
    set_deployment_state,
    set_instance,
    set_template,
)
from inventiv_operator.store.ledger_reads import (
    PendingDeployment,
    credential_resources,
    get_deployment,
    owners_of_deployment,
    pending_deployments,
    read_ledger,
)
from inventiv_operator.store.ledger_resources import (
    advance,
    clear_send,
    insert_resources,
    mark_prepared,
    mark_preparing,
    mark_sending,
    mark_started,
    record_error,
    record_present,
)

__all__ = [
    "PendingDeployment",
    "advance",
    "clear_send",
    "credential_resources",
    "get_deployment",
    "insert_instances",
    "insert_resources",
    "mark_instance_ready",
    "mark_prepared",
    "mark_preparing",
    "mark_sending",
    "mark_started",
    "open_deployment",
    "owners_of_deployment",
    "pending_deployments",
    "read_ledger",
    "rebind_deployment",
    "record_error",
    "record_present",
    "set_backoff",
    "set_deployment_state",
    "set_instance",
    "set_template",
]
