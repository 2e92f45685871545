"""Settings of an organization and of a credential: one shape, the same bounds as in PostgreSQL."""

from typing import Annotated

from pydantic import Field

from inventiv_operator.api.base import Model, Port

TimeoutSeconds = Annotated[int, Field(ge=30, le=86400)]
ContainerImage = Annotated[
    str, Field(min_length=0, max_length=512, pattern="^([a-zA-Z0-9][a-zA-Z0-9._:/@-]*)?$")
]


class Settings(Model):
    """Values for deployments that name none. An absent key falls through: first the deployment's field,
    then the credential's setting, then the organization's, then the value built into the operator.
    """

    instance_startup_timeout_seconds: TimeoutSeconds | None = None
    """Seconds after which an instance that is not ready is a failed start. Built in: 300."""
    worker_instance_startup_timeout_seconds: TimeoutSeconds | None = None
    """The same for instances with a container, which have images and models to load. Built in: 3600."""
    worker_health_port: Port | None = None
    """TCP port that tells whether a container is ready, when the deployment says nothing. Built in: 8080."""
    worker_vllm_port: Port | None = None
    """TCP port that a container serves on, when the deployment says nothing. Built in: 8000."""
    worker_data_volume_gb: Annotated[int, Field(ge=50, le=5000)] | None = None
    """Size of a data volume that names none, in GB of 10^9 bytes. Built in: 200."""
    worker_expose_ports: bool | None = None
    """Whether the ports of a container are open to everyone. Built in: false."""
    worker_vllm_image: ContainerImage | None = None
    """Container image for deployments whose container names none. Empty: none."""

    def given(self) -> dict[str, int | bool | str]:
        """What is set, by wire name."""
        return self.model_dump(by_alias=True, exclude_none=True)
