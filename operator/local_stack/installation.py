"""What an administrator does once: the manifests, the schema, the keyring, and the operator's own token."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from local_stack.errors import LocalStackError
from local_stack.kubectl import Kubectl
from local_stack.places import MANIFESTS
from local_stack.processes import plain_environment
from local_stack.python_commands import python_command

NAMESPACE = "inventiv-system"
SERVICE_ACCOUNT = "inventiv-operator"
KINDS = ("organizations.inventiv.io", "providercredentials.inventiv.io", "deployments.inventiv.io")
_TOKEN_LIVES = "8760h"  # noqa: S105  -- a duration
_COMMAND_WITHIN_S = 120.0


def install_manifests(kubectl: Kubectl, *, manifests: Path = MANIFESTS) -> None:
    """Apply `manifests/base` as people do, and wait until the three kinds are served. Repeatable.

    By server-side apply: a schema may be too long for the annotation of a client-side one.
    """
    if not (manifests / "kustomization.yaml").is_file():
        raise LocalStackError(f"{manifests} holds no kustomization.yaml: the checkout is not complete")
    kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=inventiv-local", "-k", str(manifests)
    )
    wanted = [f"customresourcedefinition/{kind}" for kind in KINDS]
    kubectl("wait", "--for=condition=Established", "--timeout=60s", *wanted)


def operator_token(kubectl: Kubectl) -> str:
    """A token of the operator's service account, so that a rule which its role lacks shows."""
    answer = kubectl(
        "create", "token", SERVICE_ACCOUNT, f"--namespace={NAMESPACE}", f"--duration={_TOKEN_LIVES}"
    )
    return answer.stdout.strip()


def migrate(*, owner_url: str, environ: Mapping[str, str]) -> None:
    run_operator_command(
        "migrate", environment=plain_environment(environ, INVENTIV_MIGRATION_DATABASE_URL=owner_url)
    )


def make_keyring(path: Path, *, environ: Mapping[str, str]) -> None:
    if not path.exists():
        run_operator_command(
            "keyring", "new", environment=plain_environment(environ, INVENTIV_KEYRING_FILE=str(path))
        )


def run_operator_command(*arguments: str, environment: Mapping[str, str]) -> None:
    """Raises LocalStackError with the last line that the command said, which is its reason."""
    done = subprocess.run(
        [*python_command("inventiv-operator"), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_COMMAND_WITHIN_S,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise LocalStackError(f"inventiv-operator {' '.join(arguments)}: {said.splitlines()[-1]}")
