"""kubectl as one user of one cluster."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_stack.errors import LocalStackError
from local_stack.processes import plain_environment

_WITHIN_S = 120.0


class KubectlError(LocalStackError):
    """What kubectl complained of, as it said it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    program: Path
    kubeconfig: Path
    environ: Mapping[str, str] = field(repr=False)
    cache: Path

    def __call__(
        self, *arguments: str, check: bool = True, stdin: str | None = None, timeout_s: float = _WITHIN_S
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end; output and complaints as text.

        Raises KubectlError when it fails and `check` is set, LocalStackError when it does not come to an end.
        """
        try:
            done = subprocess.run(
                [self.program, f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.cache}", *arguments],
                env=plain_environment(self.environ),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LocalStackError(f"kubectl {arguments[0]} had no answer within {timeout_s:g} s") from None
        if check and done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments[:3])}: {done.stderr.strip()}")
        return done
