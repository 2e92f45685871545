"""What a thing costs per hour; not known is not zero."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from domain.test_leaks import group, server, volume
from inventiv_operator.domain.cloud import (
    STOPPED,
    STOPPED_IN_PLACE,
    SeenAddress,
    ServerState,
    ServerType,
    VolumeApi,
)
from inventiv_operator.domain.ids import ProviderRef, Zone
from inventiv_operator.domain.leaks import Seen
from inventiv_operator.domain.prices import BUILT_IN, PriceList, ZonePrices, cost_of

PARIS, WARSAW = Zone("fr-par-2"), Zone("pl-waw-2")
TYPES = {
    "L4-1-24G": ServerType(
        name="L4-1-24G",
        arch="x86_64",
        ncpus=8,
        ram_bytes=1,
        gpus=1,
        price_eur_per_hour=Decimal("0.7875"),
        local_volume_max_bytes=0,
        block_storage=True,
    )
}


def address(text: str) -> SeenAddress:
    return SeenAddress(ref=ProviderRef("a"), address=text, project_id="p", tags=(), attached_to=None)


@pytest.mark.parametrize(
    ("seen", "zone", "eur"),
    [
        pytest.param(server(), PARIS, "0.7875", id="running"),
        pytest.param(server(state=STOPPED), PARIS, "0", id="powered-off"),
        pytest.param(server(state=STOPPED_IN_PLACE), PARIS, "0.7875", id="standby-is-billed"),
        pytest.param(server(state=ServerState("dreaming")), PARIS, "0.7875", id="a-state-nobody-heard-of"),
        pytest.param(server(commercial_type="NEW-1"), PARIS, None, id="a-type-that-is-not-in-the-catalog"),
        pytest.param(volume(), PARIS, "0.0156", id="block-5k"),
        pytest.param(replace(volume(), perf_iops=15_000), PARIS, "0.02124", id="block-15k"),
        pytest.param(replace(volume(), perf_iops=30_000), PARIS, None, id="block-of-another-class"),
        pytest.param(replace(volume(), perf_iops=None), PARIS, None, id="block-of-no-class"),
        pytest.param(volume(), WARSAW, None, id="block-where-it-was-not-read"),
        pytest.param(replace(volume(), api=VolumeApi.INSTANCE, perf_iops=None), PARIS, None, id="local"),
        pytest.param(address("192.0.2.1"), WARSAW, "0.005", id="ipv4"),
        pytest.param(address("2001:db8::/64"), PARIS, None, id="ipv6"),
        pytest.param(group("g"), WARSAW, "0", id="security-group"),
    ],
)
def test_the_built_in_prices(seen: Seen, zone: Zone, eur: str | None) -> None:
    found = cost_of(seen, zone, prices=BUILT_IN, types=TYPES)
    assert found == (None if eur is None else Decimal(eur))


def test_without_a_catalog_a_running_server_has_no_known_price() -> None:
    assert cost_of(server(), PARIS, prices=BUILT_IN, types=None) is None
    assert cost_of(server(state=STOPPED), PARIS, prices=BUILT_IN, types=None) == 0


def test_the_first_entry_that_has_zone_and_price_counts() -> None:
    prices = PriceList(
        dated=date(2026, 1, 1),
        source="",
        entries=(
            ZonePrices(zones=("pl-*",), local_gb=Decimal("0.5")),
            ZonePrices(zones=("nl-*", "pl-*"), local_gb=Decimal("0.7"), ipv6=Decimal(0)),
        ),
    )
    local = replace(volume(), api=VolumeApi.INSTANCE)
    assert prices.of_volume(WARSAW, local) == 60
    assert prices.of_volume(Zone("nl-ams-1"), local) == 84
    assert prices.of_volume(PARIS, local) is None
    assert prices.of_address(WARSAW, address("2001:db8::/64")) == 0
