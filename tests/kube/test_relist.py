"""The look that does not trust the watches, in virtual time."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from inventiv_operator.kube.client import ObjectList
from inventiv_operator.kube.errors import Forbidden, Unavailable
from inventiv_operator.kube.kinds import DEPLOYMENT, Kind
from inventiv_operator.kube.relist import CRDS, RBAC, RELIST_S, SPREAD_S, Fatal, Relister
from inventiv_operator.runtime.health import Health
from inventiv_operator.runtime.queue import Key, Lane
from runtime.virtual_time import LoopClock

pytestmark = pytest.mark.looptime


@dataclass
class Lister:
    """Objects by plural; errors for one call each."""

    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    version: int = 100
    missing: list[tuple[str, ...]] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)
    selectors: dict[str, str | None] = field(default_factory=dict)

    async def missing_crds(self) -> tuple[str, ...]:
        if "missing_crds" in self.errors:
            raise self.errors.pop("missing_crds")
        return self.missing.pop(0) if self.missing else ()

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        metadata_only: bool = False,
    ) -> ObjectList:
        assert metadata_only
        self.selectors[kind.plural] = label_selector
        if kind.plural in self.errors:
            raise self.errors.pop(kind.plural)
        return ObjectList(items=list(self.objects.get(kind.plural, [])), resource_version=str(self.version))


def obj(name: str, *, leaving: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {"namespace": "acme", "name": name}
    return {"metadata": metadata | ({"deletionTimestamp": "now"} if leaving else {})}


def key(name: str) -> Key:
    return Key(DEPLOYMENT.kind, "acme", name)


@dataclass
class Bench:
    lister: Lister = field(default_factory=Lister)
    health: Health = field(default_factory=lambda: Health(checks=(CRDS, RBAC)))
    queued: dict[Key, tuple[Lane, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def enqueue(key: Key, *, lane: Lane = Lane.REFRESH, after_s: float = 0.0) -> None:
            self.queued[key] = (lane, after_s)

        self.relister = Relister(client=self.lister, enqueue=enqueue, health=self.health, clock=LoopClock())


async def test_everything_is_queued_and_strewn() -> None:
    bench = Bench(lister=Lister(objects={"deployments": [obj("a"), obj("b"), obj("c", leaving=True)]}))
    assert await bench.relister.look()
    assert bench.queued[key("a")] == (Lane.REFRESH, 0.0)
    assert bench.queued[key("b")][1] == pytest.approx(SPREAD_S / 3)
    assert bench.queued[key("c")] == (Lane.DELETE, 0.0)
    assert bench.lister.selectors["secrets"] == "inventiv.io/credential=true"
    assert bench.health.is_ready


async def test_a_missing_object_is_queued_so_that_its_absence_is_confirmed() -> None:
    bench = Bench(lister=Lister(objects={"deployments": [obj("a"), obj("b")]}))
    assert bench.relister.living() is None
    await bench.relister.look()
    bench.queued.clear()
    bench.lister.objects["deployments"] = [obj("b")]
    await bench.relister.look()
    assert bench.queued[key("a")] == (Lane.DELETE, 0.0)
    assert bench.relister.living() == frozenset({key("b")})


async def test_a_list_below_what_was_seen_ends_the_process() -> None:
    bench = Bench()
    await bench.relister.look()
    bench.lister.version = 99
    with pytest.raises(Fatal, match="etcd was put back"):
        await bench.relister.look()


async def test_a_crd_that_is_gone_ends_the_process() -> None:
    bench = Bench(lister=Lister(missing=[("deployments.inventiv.io",), ("deployments.inventiv.io",)]))
    with pytest.raises(Fatal, match=r"deployments\.inventiv\.io"):
        await bench.relister.look()


async def test_a_server_that_has_just_started_is_given_a_moment() -> None:
    bench = Bench(lister=Lister(missing=[("deployments.inventiv.io",)]))
    assert await bench.relister.look()


async def test_lost_rights_fail_readiness_and_name_the_rule() -> None:
    bench = Bench(lister=Lister(objects={"namespaces": [{"metadata": {"name": "acme"}}]}))
    bench.lister.errors["secrets"] = Forbidden("no", rule="list secrets")
    assert not await bench.relister.look()
    assert "list secrets" in bench.health.report()
    assert Key("Namespace", "", "acme") in bench.queued  # the other kinds were looked at all the same
    assert await bench.relister.look()
    assert bench.health.is_ready


async def test_an_absent_server_is_no_finding() -> None:
    bench = Bench(lister=Lister(objects={"deployments": [obj("a")]}))
    await bench.relister.look()
    bench.queued.clear()
    bench.lister.errors["deployments"] = Unavailable("away")
    assert not await bench.relister.look()
    assert key("a") not in bench.queued
    assert bench.relister.living() == frozenset({key("a")})


async def test_it_looks_every_five_minutes_and_at_once_when_hurried() -> None:
    bench, clock = Bench(lister=Lister(objects={"deployments": [obj("a"), obj("b")]})), LoopClock()
    task = asyncio.create_task(bench.relister.run())
    await clock.sleep(1)
    assert bench.queued.pop(key("b"))[1] > 0
    await clock.sleep(RELIST_S - 2)
    assert key("b") not in bench.queued
    bench.relister.hurry()
    await clock.sleep(0.1)
    assert bench.queued.pop(key("b")) == (Lane.REFRESH, 0.0)  # not strewn
    await clock.sleep(RELIST_S)
    assert bench.queued.pop(key("b"))[1] > 0
    task.cancel()


async def test_a_hurry_that_finds_the_server_away_stays_one() -> None:
    bench, clock = Bench(lister=Lister(objects={"deployments": [obj("a"), obj("b")]})), LoopClock()
    bench.lister.errors["deployments"] = Unavailable("away")
    bench.relister.hurry()
    task = asyncio.create_task(bench.relister.run())
    await clock.sleep(60)
    assert bench.queued[key("b")] == (Lane.REFRESH, 0.0)
    task.cancel()


async def test_the_start_waits_for_the_crds_and_says_so() -> None:
    bench, clock = Bench(lister=Lister(missing=[("organizations.inventiv.io",)] * 3)), LoopClock()
    bench.lister.errors["missing_crds"] = Unavailable("connection refused")
    waiting = asyncio.create_task(bench.relister.wait_for_crds())
    await clock.sleep(0.1)
    assert "connection refused" in bench.health.report()
    await clock.sleep(5)
    assert "[-]crds failed: waiting for the custom resources organizations" in bench.health.report()
    assert "apply crds/" in bench.health.report()
    assert "[-]rbac failed: has not been looked at yet" in bench.health.report()
    assert not waiting.done()
    await clock.sleep(10)
    assert waiting.done()
    assert "[+]crds ok" in bench.health.report()
    assert "[-]rbac" in bench.health.report()
    await bench.relister.look()
    assert bench.health.is_ready
