"""The API server's own record of what the operator asked for. Off unless a stack is made with it.

Names, verbs and answers of the operator's service account, and nobody else's; never a body, so no Secret.
"""

from pathlib import Path

from local_stack.installation import NAMESPACE, SERVICE_ACCOUNT
from local_stack.state import write_private

USER = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
_POLICY = f"""\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["{USER}"]
- level: None
"""


def switch_on(policy: Path) -> None:
    """From the next start of the API server on, for as long as the stack exists."""
    write_private(policy, _POLICY)


def argv(policy: Path, *, log: Path) -> tuple[str, ...]:
    """Flags of the API server; none where it was not switched on."""
    if not policy.exists():
        return ()
    # A request is answered once its line is written, so that who waited for the answer finds it.
    return (
        f"--audit-policy-file={policy}",
        f"--audit-log-path={log}",
        "--audit-log-mode=blocking-strict",
        "--audit-log-format=json",
    )
