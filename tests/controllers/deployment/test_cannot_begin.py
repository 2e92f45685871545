"""A deployment of which nothing can be made: it says why, and costs next to no calls and no ledger rows."""

from typing import Any

import pytest

from controllers.deployment.conftest import Rig
from rig.tenant import ZONE


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        pytest.param(
            {"placement": [{"zone": "xx-xxx-9", "instanceType": "L4-1-24G"}]}, "InvalidZone", id="zone"
        ),
        pytest.param(
            {"placement": [{"zone": ZONE, "instanceType": "L4-9-24G"}]}, "InvalidInstanceType", id="type"
        ),
        pytest.param({"image": "ubuntu_warty"}, "ImageNotFound", id="image"),
    ],
)
async def test_nothing_is_made_for_it(rig: Rig, wrong: dict[str, Any], reason: str) -> None:
    rig.apply(replicas=2, **wrong)
    await rig.until_reason(reason)
    await rig.rest(1800)
    assert rig.ready["reason"] == reason
    assert [call for call in rig.world.calls.since(0) if call.method != "GET"] == []
    assert (await rig.ledger()).resources == ()
    rig.delete()
    await rig.until_gone()
