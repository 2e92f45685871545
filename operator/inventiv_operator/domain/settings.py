"""The settings of a tenant: which there are, their bounds, and which value counts.

The table here is the one source for the names on the wire (`api/settings.py`), the keys of
`provider_settings`, the bounds and what is built in; tests hold the CRDs and the CHECKs in PostgreSQL to it.

A value is looked for in the deployment's own field, then in its credential's settings, then in its
organization's, and is built in where none of them has it. Nothing else has a say, the environment least.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

SettingValue = int | bool | str
Layer = Mapping[str, SettingValue]
"""Values by key of `provider_settings`; a key that is absent falls through."""

T = TypeVar("T", int, bool, str)
NOTHING: Final[Layer] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Generic[T]):
    """One row of the table in product.md. `least` and `most` are of a number; `longest` counts characters."""

    key: str
    wire_name: str
    built_in: T
    least: int | None = None
    most: int | None = None
    longest: int | None = None

    def fits(self, value: object) -> bool:
        """Whether it has the type and is within the bounds; True is no number."""
        if type(value) is not type(self.built_in):
            return False
        if isinstance(value, str):
            return self.longest is None or len(value) <= self.longest
        if isinstance(value, int) and self.least is not None and self.most is not None:
            return self.least <= value <= self.most
        return True

    def of(self, layers: tuple[Layer, ...]) -> T:
        """The value of the first layer that has one.

        Raises:
            ValueError: that value is not within the bounds. What is stored was held to them before.
        """
        for layer in layers:
            value = layer.get(self.key)
            if value is None:
                continue
            if not self.fits(value):
                raise ValueError(f"setting {self.key} is not within its bounds")
            return type(self.built_in)(value)
        return self.built_in


INSTANCE_STARTUP_TIMEOUT_S: Final = Setting(
    key="INSTANCE_STARTUP_TIMEOUT_S",
    wire_name="instanceStartupTimeoutSeconds",
    built_in=300,
    least=30,
    most=86400,
)
WORKER_INSTANCE_STARTUP_TIMEOUT_S: Final = Setting(
    key="WORKER_INSTANCE_STARTUP_TIMEOUT_S",
    wire_name="workerInstanceStartupTimeoutSeconds",
    built_in=3600,
    least=30,
    most=86400,
)
WORKER_HEALTH_PORT: Final = Setting(
    key="WORKER_HEALTH_PORT", wire_name="workerHealthPort", built_in=8080, least=1, most=65535
)
WORKER_VLLM_PORT: Final = Setting(
    key="WORKER_VLLM_PORT", wire_name="workerVLLMPort", built_in=8000, least=1, most=65535
)
WORKER_DATA_VOLUME_GB_DEFAULT: Final = Setting(
    key="WORKER_DATA_VOLUME_GB_DEFAULT",
    wire_name="workerDataVolumeGB",
    built_in=200,
    least=50,
    most=5000,
)
WORKER_EXPOSE_PORTS: Final = Setting(key="WORKER_EXPOSE_PORTS", wire_name="workerExposePorts", built_in=False)
WORKER_VLLM_IMAGE: Final = Setting(
    key="WORKER_VLLM_IMAGE", wire_name="workerVLLMImage", built_in="", longest=512
)

KNOWN: Final[tuple[Setting[int] | Setting[bool] | Setting[str], ...]] = (
    INSTANCE_STARTUP_TIMEOUT_S,
    WORKER_INSTANCE_STARTUP_TIMEOUT_S,
    WORKER_HEALTH_PORT,
    WORKER_VLLM_PORT,
    WORKER_DATA_VOLUME_GB_DEFAULT,
    WORKER_EXPOSE_PORTS,
    WORKER_VLLM_IMAGE,
)
"""Everything that people set. The identity of a credential (`SCALEWAY_...`) lies in the same table of the
database and is none of it.
"""
KEYS: Final = frozenset(setting.key for setting in KNOWN)
_BY_WIRE_NAME: Final = {setting.wire_name: setting for setting in KNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSettings:
    """What is set on both levels, read at one instant."""

    credential: Layer = field(default_factory=dict)
    organization: Layer = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSettings:
    """What counts for one deployment. Those that are for instances with a container say `worker`."""

    instance_startup_timeout_s: int
    worker_instance_startup_timeout_s: int
    worker_health_port: int
    worker_vllm_port: int
    worker_data_volume_gb: int  # GB of 10^9 bytes
    worker_expose_ports: bool
    worker_vllm_image: str  # empty: none


def resolve(
    *, own: Layer = NOTHING, credential: Layer = NOTHING, organization: Layer = NOTHING
) -> EffectiveSettings:
    """`own`: the fields of the deployment itself, as far as it has them.

    Raises:
        ValueError: a value is not within its bounds.
    """
    layers = (own, credential, organization)
    return EffectiveSettings(
        instance_startup_timeout_s=INSTANCE_STARTUP_TIMEOUT_S.of(layers),
        worker_instance_startup_timeout_s=WORKER_INSTANCE_STARTUP_TIMEOUT_S.of(layers),
        worker_health_port=WORKER_HEALTH_PORT.of(layers),
        worker_vllm_port=WORKER_VLLM_PORT.of(layers),
        worker_data_volume_gb=WORKER_DATA_VOLUME_GB_DEFAULT.of(layers),
        worker_expose_ports=WORKER_EXPOSE_PORTS.of(layers),
        worker_vllm_image=WORKER_VLLM_IMAGE.of(layers),
    )


def by_key(given: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """From names on the wire to keys of the database.

    Raises:
        KeyError: no such setting.
    """
    return {_BY_WIRE_NAME[name].key: value for name, value in given.items()}


def wire_name_of(key: str) -> str:
    """How people write it; the key itself for one that they cannot set."""
    return next((setting.wire_name for setting in KNOWN if setting.key == key), key)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """None: not set."""

    key: str
    before: SettingValue | None
    after: SettingValue | None


def changes(stored: Layer, wanted: Layer) -> tuple[SettingChange, ...]:
    """What brings one level in line: set, changed and removed keys, in the order of the table.

    Of `stored` only what people set is looked at: a credential's identity is not theirs to take back.
    """
    return tuple(_changes(stored, wanted))


def _changes(stored: Layer, wanted: Layer) -> Iterator[SettingChange]:
    for setting in KNOWN:
        before, after = stored.get(setting.key), wanted.get(setting.key)
        if before != after or type(before) is not type(after):
            yield SettingChange(key=setting.key, before=before, after=after)
