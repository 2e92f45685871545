"""One stack's folder, addresses and secrets: what every part is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_stack.databases import Server
from local_stack.errors import LocalStackError
from local_stack.ports import LOOPBACK
from local_stack.postgres import SUPERUSER
from local_stack.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    directory: Path
    state: State
    environ: Mapping[str, str] = field(repr=False)  # the caller's
    programs: Mapping[str, Path]
    simulator_options: tuple[str, ...] = ()
    operator_settings: Mapping[str, str] = field(default_factory=dict, repr=False)  # over the stack's own

    def program(self, name: str) -> Path:
        """Raises LocalStackError when it has not been built yet, or was cleared from the cache."""
        if name not in self.programs:
            raise LocalStackError(f"{name} has not been built yet; `inventiv-local up` does it")
        return self.programs[name]

    @property
    def certificates(self) -> Path:
        return self.directory / "certificates"

    @property
    def tokens(self) -> Path:
        return self.directory / "tokens.csv"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's; of a given cluster, the given one."""
        return Path(self.state.outside.kubeconfig or self.directory / "admin.kubeconfig")

    @property
    def controller_manager_kubeconfig(self) -> Path:
        return self.directory / "controller-manager.kubeconfig"

    @property
    def operator_kubeconfig(self) -> Path:
        return self.directory / "operator.kubeconfig"

    @property
    def audit_policy(self) -> Path:
        """There when the API server writes an audit log, `log("audit")`."""
        return self.directory / "audit-policy.yaml"

    @property
    def keyring(self) -> Path:
        return self.directory / "keyring.json"

    @property
    def postgres_home(self) -> Path:
        return Path(self.state.postgres_home)

    @property
    def database(self) -> Server:
        port = self.state.ports.get("postgres", 0)
        password = self.state.secrets.superuser_password
        own = f"postgresql://{SUPERUSER}:{password}@{LOOPBACK}:{port}/postgres"
        return Server(
            admin_url=self.state.outside.database_url or own,
            stack_id=self.state.stack_id,
            secrets=self.state.secrets,
        )

    @property
    def scaleway_url(self) -> str:
        return self.state.outside.scaleway_api_url or self.url("scaleway-simulator")

    @property
    def operator_url(self) -> str:
        """Where `/healthz`, `/readyz` and `/metrics` are."""
        return self.url("inventiv-operator")

    def url(self, part: str, *, scheme: str = "http") -> str:
        return f"{scheme}://{LOOPBACK}:{self.state.ports[part]}"

    def log(self, part: str) -> Path:
        return self.directory / "logs" / f"{part}.log"

    def data(self, part: str) -> Path:
        """A folder that is there."""
        folder = self.directory / "data" / part
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
