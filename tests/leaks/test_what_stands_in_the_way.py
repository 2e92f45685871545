"""What one credential cannot show is unknown, said, and nobody else's problem."""

from pathlib import Path
from uuid import uuid4

import pytest

from inventiv_operator.domain.leaks import Finding
from inventiv_operator.scaleway.zones import ZONES
from inventiv_operator.store.errors import StoreError
from inventiv_operator.store.keyring import KeyringFile, new_keyring_file
from leaks.conftest import KNOWN, ZONE, Stage, findings, of


async def test_a_refused_key_is_said_and_the_other_organization_is_complete(stage: Stage) -> None:
    await stage.deploy(stage.acme)
    await stage.deploy(stage.beta)
    stage.world.identity.find_key(stage.acme.access_key).revoked = True  # type: ignore[union-attr]
    since = stage.last_call
    report = await stage.run()
    acme, beta = of(report, stage.acme), of(report, stage.beta)
    assert acme.problem is not None
    assert acme.problem.reason == "CredentialRejected"
    assert {finding for finding, _ in findings(acme)} == {"unknown"}
    assert len(acme.things) == 3
    assert findings(beta) == KNOWN
    assert beta.problem is None
    assert beta.unlisted == ()
    assert not report.is_clean
    tried = [key for _, key in stage.calls(since=since) if key == stage.acme.access_key]
    assert len(tried) <= 5  # one zone's lists, not fifty calls that are refused all the same


async def test_a_frozen_credential_is_not_used_and_says_why(stage: Stage) -> None:
    await stage.deploy(stage.acme)
    stage.rows(
        "UPDATE providers SET frozen_reason = 'it sees another project', frozen_at = now() WHERE id = %s",
        stage.acme.credential_id,
    )
    since = stage.last_call
    report = await stage.run()
    problem = of(report, stage.acme).problem
    assert problem is not None
    assert (problem.reason, problem.message) == ("Frozen", "it sees another project")
    assert len(of(report, stage.acme).things) == 3
    assert {key for _, key in stage.calls(since=since)} == {stage.beta.access_key}


async def test_a_key_that_the_keyring_cannot_open_is_said(stage: Stage, tmp_path: Path) -> None:
    new_keyring_file(tmp_path / "other")
    since = stage.last_call
    report = await stage.run(keyring=KeyringFile(tmp_path / "other"))
    for tenant in (stage.acme, stage.beta):
        problem = of(report, tenant).problem
        assert problem is not None
        assert problem.reason == "KeyUnavailable"
    assert not report.is_clean
    assert stage.calls(since=since) == []


async def test_T8_a_key_that_sees_another_project_now_is_no_clean_bill(stage: Stage) -> None:
    """Its lists are empty and complete."""
    await stage.deploy(stage.acme)
    await stage.rest()
    key = stage.world.identity.find_key(stage.acme.access_key)
    assert key is not None
    key.project_id = stage.world.identity.project(str(uuid4()), now=stage.world.now).id
    report = await stage.run()
    assert {finding for finding, _ in findings(of(report, stage.acme))} <= {"missing", "unknown"}
    assert not report.is_clean


async def test_a_database_that_fails_on_the_way_is_one_error(stage: Stage) -> None:
    stage.rows("REVOKE SELECT ON instances FROM inventiv_operator")
    with pytest.raises(StoreError, match="PostgreSQL refused a statement"):
        await stage.run()


async def test_without_a_key_and_with_nothing_begun_there_is_nothing_to_look_at(stage: Stage) -> None:
    stage.rows("DELETE FROM provider_settings WHERE provider_id = %s", stage.beta.credential_id)
    report = await stage.run()
    assert report.is_clean
    assert "no key is stored" in of(report, stage.beta).note
    assert of(report, stage.beta).zones == ()


async def test_without_a_key_what_was_begun_is_unknown(stage: Stage) -> None:
    await stage.deploy(stage.beta)
    stage.rows("DELETE FROM provider_settings WHERE provider_id = %s", stage.beta.credential_id)
    report = await stage.run()
    problem = of(report, stage.beta).problem
    assert problem is not None
    assert problem.reason == "MissingProviderCredentials"
    assert not report.is_clean


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        pytest.param("status", {"status": 500}, id="500"),
        pytest.param("status", {"status": 429}, id="429"),
        pytest.param("drop_before", {}, id="no-answer"),
        pytest.param("partial_page", {}, id="partial-page"),
        pytest.param("html", {}, id="a-page-for-people"),
    ],
)
async def test_a_list_that_cannot_be_had_is_unknown_and_never_a_clean_bill(
    stage: Stage, kind: str, more: dict[str, object]
) -> None:
    for number in range(3):
        await stage.make_server(stage.acme, tags=[f"n={number}"])
    await stage.deploy(stage.beta)
    stage.fault(kind, rf"zones/{ZONE}/servers\?", times=None, **more)
    report = await stage.run()
    acme = of(report, stage.acme)
    assert [(name.zone, str(name.kind)) for name, _ in acme.unlisted] == [(ZONE, "server")]
    assert acme.things == ()
    beta = of(report, stage.beta)
    (unseen,) = (one.thing for one in beta.things if one.thing.finding is Finding.UNKNOWN)
    assert unseen.kind == "server"
    assert unseen.note.startswith(f"{beta.unlisted[0][1].reason}: list servers in {ZONE}")
    assert ("known", "volume") in findings(beta)
    assert not report.is_clean


async def test_a_right_that_is_lacking_is_unknown_in_every_zone(stage: Stage) -> None:
    key = stage.world.identity.find_key(stage.acme.access_key)
    assert key is not None
    key.rights = frozenset({"instances"})
    report = await stage.run()
    acme = of(report, stage.acme)
    assert acme.problem is None
    assert {(str(name.api), why.reason) for name, why in acme.unlisted} == {("block", "PermissionDenied")}
    assert {name.zone for name, _ in acme.unlisted} == set(ZONES)
    assert not report.is_clean
