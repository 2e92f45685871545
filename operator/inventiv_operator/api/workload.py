"""What runs on an instance: user data, a container, and how readiness is asked for."""

from typing import Annotated

from pydantic import ConfigDict, Field

from inventiv_operator.api.base import ATOMIC, SET, DataKey, Model, ObjectName, Port, by_keys, rule, rules
from inventiv_operator.api.settings import ContainerImage

CLOUD_INIT_LIMIT_BYTES = 64 * 1024


class KeyReference(Model):
    """One key of a Secret or ConfigMap of the same namespace."""

    model_config = ConfigDict(json_schema_extra=rules(map_type="atomic"))

    name: ObjectName
    """Name of the object, in the namespace of the deployment."""
    key: DataKey
    """Key in its data."""


class CloudInit(Model):
    """User data for the first boot."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.inline), has(self.secretRef), has(self.configMapRef)].filter(x, x).size() == 1",
                "exactly one of inline, secretRef and configMapRef must be set",
            ),
            rule(
                f"!has(self.inline) || bytes(self.inline).size() <= {CLOUD_INIT_LIMIT_BYTES}",
                "inline must have at most 65536 bytes in UTF-8",
                field=".inline",
            ),
        )
    )

    inline: Annotated[str, Field(min_length=1, max_length=CLOUD_INIT_LIMIT_BYTES)] | None = None
    """The user data itself, at most 64 KiB, usually beginning with #cloud-config. Do not put a secret here:
    it is readable in this object, inside the machine, and by anyone with read access to the Scaleway project.
    """
    secret_ref: KeyReference | None = None
    """A key of a Secret that holds the user data. The Secret needs the label inventiv.io/workload=true. The
    value becomes readable inside the machine and by anyone with read access to the Scaleway project.
    """
    config_map_ref: KeyReference | None = None
    """A key of a ConfigMap that holds the user data. A later change of the ConfigMap replaces nothing.
    The annotation inventiv.io/restart-at on the deployment, which is to do that, is refused in this release.
    """


class EnvironmentSource(Model):
    """Where the value of a variable comes from."""

    secret_key_ref: KeyReference
    """A key of a Secret that carries the label inventiv.io/workload=true. The value becomes part of the user
    data, so it is readable inside the machine and by anyone with read access to the Scaleway project.
    """


class EnvironmentVariable(Model):
    """A variable of the container's environment."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.value) != has(self.valueFrom)",
                "exactly one of value and valueFrom must be set",
            )
        )
    )

    name: Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """Its value, in the open: for a secret use valueFrom."""
    value_from: EnvironmentSource | None = None
    """Where its value comes from, instead of value."""


class Container(Model):
    """One container on each instance, with all its GPUs."""

    image: Annotated[ContainerImage, Field(min_length=1)] | None = None
    """Image to run, such as vllm/vllm-openai:v0.13.0. Absent: the setting workerVLLMImage."""
    args: Annotated[
        tuple[Annotated[str, Field(max_length=4096)], ...], Field(max_length=128, json_schema_extra=ATOMIC)
    ] = ()
    """Arguments for the image's entry point, at most 128."""
    env: Annotated[
        tuple[EnvironmentVariable, ...], Field(max_length=128, json_schema_extra=by_keys("name"))
    ] = ()
    """Variables of the container's environment, at most 128, each name once."""
    ports: Annotated[tuple[Port, ...], Field(max_length=20, json_schema_extra=SET)] = ()
    """TCP ports that the container serves on, at most 20, each once. They are open to everyone only with the
    setting workerExposePorts. Absent: the setting workerVLLMPort.
    """
    data_volume: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Name of one of spec.volumes, which is mounted at /data in the container. Absent: none is."""


class HttpProbe(Model):
    """An HTTP GET that must be answered with a status from 200 to 399."""

    port: Port
    """TCP port to ask, 1 to 65535."""
    path: Annotated[str, Field(min_length=1, max_length=1024, pattern="^/[!-~]*$")] = "/"
    """Path to ask for, beginning with a slash. Default: /."""


class TcpProbe(Model):
    """A TCP connection that must be accepted."""

    port: Port
    """TCP port to connect to, 1 to 65535."""


class ReadinessProbe(Model):
    """How an instance is asked whether it is ready."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.httpGet) != has(self.tcpSocket)",
                "exactly one of httpGet and tcpSocket must be set",
            )
        )
    )

    http_get: HttpProbe | None = None
    """Ready when an HTTP GET is answered with a status from 200 to 399. Redirects are not followed."""
    tcp_socket: TcpProbe | None = None
    """Ready when a TCP connection is accepted."""
    period_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """Seconds between two probes of an instance that is not ready; ready ones are asked about every 60
    seconds. Default: 10.
    """
    timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 3
    """Seconds within which the answer must come. Default: 3."""
    failure_threshold: Annotated[int, Field(ge=1, le=100)] = 3
    """How many probes in a row must fail before a ready instance is not ready any more. Default: 3."""
