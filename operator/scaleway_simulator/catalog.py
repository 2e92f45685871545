"""Instance types per zone: the simulator's own, in families.

Facts carry over from api.md 8: names, sizes and prices of GPU, DEV1, GP1 and the like are the real ones, the
many CPU families are computed from one price per core. What a client must cope with is kept: more than a
hundred types in the large zones, so three pages of fifty; in fr-par-2 L4 and L40S are on the second page and
RENDER-S is on the last.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

GB = 10**9
GIB = 2**30

LARGE_CPU = ("BASIC2-A", "DEV1", "GP1", "PLAY2", "POP2", "POP2-HC", "POP2-HM", "POP2-HN", "PRO2")
NEW_CPU = ("BASIC3-X", "COMPUTE3-X", "MEMORY3-X", "STANDARD2-A", "STANDARD3-X")
SMALL_CPU = ("PLAY2", "POP2", "POP2-HC", "POP2-HM", "POP2-HN", "PRO2")

ZONES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fr-par-1": (*LARGE_CPU, *NEW_CPU, "POP2-WIN", "L4", "RENDER", "STARDUST1", "LEGACY"),
        "fr-par-2": (
            *LARGE_CPU,
            *NEW_CPU,
            "POP2-WIN",
            "L4",
            "L40S",
            "H100",
            "H100-SXM",
            "B300-SXM",
            "RENDER",
        ),
        "fr-par-3": (*SMALL_CPU, "GP1"),
        "nl-ams-1": (*LARGE_CPU, *NEW_CPU, "COPARM1", "STARDUST1", "LEGACY"),
        "nl-ams-2": ("DEV1", "GP1", *SMALL_CPU, "BASIC3-X", "COMPUTE3-X", "MEMORY3-X", "STANDARD3-X"),
        "nl-ams-3": SMALL_CPU,
        "pl-waw-1": ("DEV1", "GP1", *SMALL_CPU),
        "pl-waw-2": ("DEV1", "GP1", *SMALL_CPU, "L4", "L40S", "H100", "STARDUST1"),
        "pl-waw-3": SMALL_CPU,
        "it-mil-1": ("BASIC3-X", "COMPUTE3-X", "MEMORY3-X", "STANDARD3-X", "POP2", "POP2-HC", "POP2-HN"),
    }
)
ZONES_WITHOUT_BLOCK = frozenset({"it-mil-1"})
"""Not among the zones of the block API (api.md 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerType:
    name: str
    family: str
    arch: str
    ncpus: int
    ram_bytes: int
    price_eur_per_hour: float
    gpus: int = 0
    gpu: Gpu | None = None
    local_max_bytes: int = 0  # 0: no local root
    scratch_max_bytes: int = 0
    scratch_max_count: int = 0
    bandwidth_bit_per_s: int = 400_000_000
    file_systems: int = 0

    @property
    def alternative_names(self) -> tuple[str, ...]:
        return OLD_NAMES.get(self.name, ())

    @property
    def is_at_end_of_service(self) -> bool:
        return self.family == "LEGACY"

    @property
    def has_automatic_scratch(self) -> bool:
        """H100 servers come with a scratch volume that nobody asked for (api.md 3.2)."""
        return self.family == "H100"


NAMED = (
    # family, name, cores, GiB, EUR/h, local root GB
    ("DEV1", "DEV1-S", 2, 2, 0.008976, 20),
    ("DEV1", "DEV1-M", 3, 4, 0.020196, 40),
    ("DEV1", "DEV1-L", 4, 8, 0.04284, 80),
    ("DEV1", "DEV1-XL", 4, 12, 0.065076, 120),
    ("GP1", "GP1-XS", 4, 16, 0.09282, 150),
    ("GP1", "GP1-S", 8, 32, 0.19074, 300),
    ("GP1", "GP1-M", 16, 64, 0.38352, 600),
    ("GP1", "GP1-L", 32, 128, 0.77418, 600),
    ("GP1", "GP1-XL", 48, 256, 1.67382, 600),
    ("STARDUST1", "STARDUST1-S", 1, 1, 0.00015, 10),
    ("LEGACY", "START1-XS", 1, 1, 0.0062, 25),
    ("LEGACY", "START1-S", 2, 2, 0.0106, 50),
    ("LEGACY", "START1-M", 4, 4, 0.0194, 100),
    ("LEGACY", "START1-L", 8, 8, 0.0368, 200),
    ("LEGACY", "VC1S", 2, 2, 0.00862, 50),
    ("LEGACY", "VC1M", 4, 4, 0.01555, 100),
    ("LEGACY", "VC1L", 6, 8, 0.02468, 200),
    ("LEGACY", "X64-15GB", 6, 15, 0.06032, 200),
    ("LEGACY", "X64-30GB", 8, 30, 0.11906, 400),
    ("LEGACY", "X64-60GB", 10, 60, 0.213, 700),
    ("LEGACY", "X64-120GB", 12, 120, 0.42574, 800),
    ("PLAY2", "PLAY2-PICO", 1, 2, 0.01428, 0),
    ("PLAY2", "PLAY2-NANO", 2, 4, 0.02754, 0),
    ("PLAY2", "PLAY2-MICRO", 4, 8, 0.05508, 0),
    ("PRO2", "PRO2-XXS", 2, 8, 0.0561, 0),
    ("PRO2", "PRO2-XS", 4, 16, 0.1122, 0),
    ("PRO2", "PRO2-S", 8, 32, 0.22338, 0),
    ("PRO2", "PRO2-M", 16, 64, 0.44676, 0),
    ("PRO2", "PRO2-L", 32, 128, 0.89454, 0),
    ("POP2-HN", "POP2-HN-3", 2, 4, 0.2554, 0),
    ("POP2-HN", "POP2-HN-5", 4, 8, 0.4524, 0),
    ("POP2-HN", "POP2-HN-10", 4, 8, 0.7264, 0),
)
GRADED = (
    # family, name, arch, cores, GiB per core, EUR/h per core
    ("BASIC2-A", "BASIC2-A{c}C-{g}G", "arm64", (2, 4, 6, 8, 12, 16), 2, 0.0129),
    ("BASIC2-A", "BASIC2-A{c}C-{g}G", "arm64", (2, 4, 6, 8, 12, 16), 4, 0.0172),
    ("BASIC3-X", "BASIC3-X{c}C-{g}G", "x86_64", (2, 4, 6, 8, 12, 16), 2, 0.0222),
    ("BASIC3-X", "BASIC3-X{c}C-{g}G", "x86_64", (2, 4, 6, 8, 12, 16), 4, 0.0296),
    ("COMPUTE3-X", "COMPUTE3-X{c}C-{g}G", "x86_64", (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96), 2, 0.0293),
    ("MEMORY3-X", "MEMORY3-X{c}C-{g}G", "x86_64", (2, 4, 6, 8, 12, 16, 24, 32, 48), 8, 0.054),
    ("STANDARD2-A", "STANDARD2-A{c}C-{g}G", "arm64", (2, 4, 6, 8, 12, 16, 24, 32, 48, 64), 4, 0.0293),
    ("STANDARD3-X", "STANDARD3-X{c}C-{g}G", "x86_64", (2, 4, 6, 8, 12, 16, 24, 32, 48, 64), 4, 0.0404),
    ("COPARM1", "COPARM1-{c}C-{g}G", "arm64", (2, 4, 8, 16, 32), 4, 0.0215),
    ("POP2", "POP2-{c}C-{g}G", "x86_64", (2, 4, 6, 8, 12, 16, 24, 32, 48, 64), 4, 0.03675),
    ("POP2-HC", "POP2-HC-{c}C-{g}G", "x86_64", (2, 4, 6, 8, 12, 16, 24, 32, 48, 64), 2, 0.0266),
    ("POP2-HM", "POP2-HM-{c}C-{g}G", "x86_64", (2, 4, 6, 8, 12, 16, 24, 32, 48, 64), 8, 0.0515),
    ("POP2-WIN", "POP2-{c}C-{g}G-WIN", "x86_64", (2, 4, 8, 16, 32), 4, 0.0911),
)
GPUS = (
    # family, name, GPUs, GPU, its GiB, cores, GiB, EUR/h, scratch TB
    ("L4", "L4-1-24G", 1, "L4", 24, 8, 48, 0.7875, 0.0),
    ("L4", "L4-2-24G", 2, "L4", 24, 16, 96, 1.575, 0.0),
    ("L4", "L4-4-24G", 4, "L4", 24, 32, 192, 3.15, 0.0),
    ("L4", "L4-8-24G", 8, "L4", 24, 64, 384, 6.3, 0.0),
    ("L40S", "L40S-1-48G", 1, "L40S", 48, 8, 96, 1.469916, 1.6),
    ("L40S", "L40S-2-48G", 2, "L40S", 48, 16, 192, 2.939832, 3.2),
    ("L40S", "L40S-4-48G", 4, "L40S", 48, 32, 384, 5.879664, 6.4),
    ("L40S", "L40S-8-48G", 8, "L40S", 48, 64, 768, 11.759328, 12.8),
    ("H100", "H100-1-80G", 1, "H100-PCIe", 80, 24, 240, 2.8665, 3.0),
    ("H100", "H100-2-80G", 2, "H100-PCIe", 80, 48, 480, 5.733, 6.0),
    ("H100-SXM", "H100-SXM-2-80G", 2, "H100-SXM", 80, 32, 240, 6.6198, 3.2),
    ("H100-SXM", "H100-SXM-4-80G", 4, "H100-SXM", 80, 64, 480, 12.771, 6.4),
    ("H100-SXM", "H100-SXM-8-80G", 8, "H100-SXM", 80, 128, 960, 25.3308, 12.8),
    ("B300-SXM", "B300-SXM-2-288G", 2, "B300-SXM", 288, 56, 960, 18.96, 6.0),
    ("B300-SXM", "B300-SXM-4-288G", 4, "B300-SXM", 288, 112, 1920, 34.08, 12.0),
    ("B300-SXM", "B300-SXM-8-288G", 8, "B300-SXM", 288, 224, 3840, 60.0, 24.0),
    ("RENDER", "RENDER-S", 1, "P100", 16, 10, 42, 1.221, 0.0),
)
OLD_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"VC1S": ("X64-2GB",), "VC1M": ("X64-4GB",), "VC1L": ("X64-8GB",)}
)
FEW = ("DEV1-S", "GP1-XS", "L4-1-24G", "L40S-1-48G", "PRO2-XXS")
"""What a provider of few instance types knows."""


def _named() -> Iterable[ServerType]:
    for family, name, cores, ram, price, local in NAMED:
        yield ServerType(
            name=name,
            family=family,
            arch="x86_64",
            ncpus=cores,
            ram_bytes=ram * GIB,
            price_eur_per_hour=price,
            local_max_bytes=local * GB,
            bandwidth_bit_per_s=cores * 100_000_000,
        )


def _graded() -> Iterable[ServerType]:
    for family, pattern, arch, grades, ram_per_core, price_per_core in GRADED:
        for cores in grades:
            yield ServerType(
                name=pattern.format(c=cores, g=cores * ram_per_core),
                family=family,
                arch=arch,
                ncpus=cores,
                ram_bytes=cores * ram_per_core * GIB,
                price_eur_per_hour=round(cores * price_per_core, 4),
                scratch_max_bytes=cores * 20 * GB if family in {"COMPUTE3-X", "STANDARD3-X"} else 0,
                scratch_max_count=2 if family in {"COMPUTE3-X", "STANDARD3-X"} else 0,
                bandwidth_bit_per_s=cores * 200_000_000,
                file_systems=1,
            )


def _gpus() -> Iterable[ServerType]:
    for family, name, count, gpu, memory, cores, ram, price, scratch_tb in GPUS:
        yield ServerType(
            name=name,
            family=family,
            arch="x86_64",
            ncpus=cores,
            ram_bytes=ram * GIB,
            price_eur_per_hour=price,
            gpus=count,
            gpu=Gpu(name=gpu, memory_bytes=memory * GIB),
            local_max_bytes=400 * GB if family == "RENDER" else 0,
            scratch_max_bytes=round(scratch_tb * 1000) * GB,
            scratch_max_count=1 if scratch_tb else 0,
            bandwidth_bit_per_s=2_500_000_000 * count,
            file_systems=2 * count,
        )


@cache
def all_types() -> Mapping[str, ServerType]:
    return MappingProxyType({t.name: t for t in (*_named(), *_graded(), *_gpus())})


@cache
def types_of(zone: str, *, few: bool = False) -> Mapping[str, ServerType]:
    """By name, in the order of the wire; empty for a zone that does not exist."""
    families = frozenset(ZONES.get(zone, ()))
    found = [t for t in all_types().values() if t.family in families and (not few or t.name in FEW)]
    return MappingProxyType({t.name: t for t in sorted(found, key=lambda t: t.name)})


def is_zone(zone: str) -> bool:
    return zone in ZONES
