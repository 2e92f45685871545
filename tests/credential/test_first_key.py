"""From a Secret to a stored, proven key: every way in which it may not work, and what is said about it."""

from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest

from inventiv_operator.domain.ids import OrganizationId
from inventiv_operator.kube.kinds import CREDENTIAL, NAMESPACE, SECRET
from inventiv_operator.store.errors import MissingProviderCredentials
from tenant_rig.bench import Bench, TestKey


async def test_a_good_key_is_stored_encrypted_and_ready(bench: Bench) -> None:
    key = await bench.made()
    status = bench.status()
    row = await bench.row()
    assert status["credentialID"] == str(row.id)
    assert status["accessKey"] == key.access_key
    assert status["keyFingerprint"] == sha256(key.secret_key.encode()).hexdigest()[:8]
    assert status["encryptionKeyID"] == "k1"
    assert "expiresAt" not in status
    assert (row.ready, row.reason) == (True, "")
    assert (await bench.stored(row.organization_id, row.id)).secret_key.get_secret_value() == key.secret_key
    assert bench.cluster.condition(CREDENTIAL, bench.name, "scaleway", "Expiring")["status"] == "Unknown"


async def test_S7_without_an_organization_nothing_is_stored_and_no_call_leaves(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key)
    bench.cluster.put(NAMESPACE, "", bench.name)
    bench.put_secret(key)
    bench.put_credential()
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "OrganizationMissing")
    assert bench.calls() == 0


async def test_T1_a_namespace_made_anew_does_not_inherit_its_organization(bench: Bench) -> None:
    await bench.claimed()
    bench.cluster.vanish(NAMESPACE, "", bench.name)
    bench.cluster.put(NAMESPACE, "", bench.name)
    key = TestKey()
    bench.admit(key)
    bench.put_secret(key)
    bench.put_credential()
    await bench.settle_credential()
    assert bench.said()[1] == "OrganizationMissing"
    assert bench.calls() == 0


async def test_a_missing_secret_names_what_to_make(bench: Bench) -> None:
    await bench.claimed()
    bench.put_credential()
    result = await bench.settle_credential()
    status, reason, message = bench.said()
    assert (status, reason) == ("False", "SecretMissing")
    assert "Secret scaleway" in message
    assert "SCW_ACCESS_KEY" in message
    assert result.requeue_after_s is not None
    assert result.requeue_after_s <= 30.0
    assert bench.calls() == 0


@pytest.mark.parametrize(
    ("access_key", "secret_key", "says"),
    [
        pytest.param("hunter2", None, "SCW_ACCESS_KEY", id="access-key"),
        pytest.param(None, "hunter2", "SCW_SECRET_KEY", id="secret-key"),
        pytest.param("hunter2", "hunter2", "SCW_SECRET_KEY", id="both"),
        pytest.param("scw0123456789ABCDEFG", None, "SCW_ACCESS_KEY", id="lower-case"),
        pytest.param("", "", "SCW_ACCESS_KEY", id="empty"),
    ],
)
async def test_T7_what_is_no_key_is_refused_and_never_printed(
    bench: Bench, caplog: pytest.LogCaptureFixture, access_key: str | None, secret_key: str | None, says: str
) -> None:
    await bench.claimed()
    good = TestKey()
    bench.cluster.put_secret(
        bench.name,
        "scaleway",
        SCW_ACCESS_KEY=good.access_key if access_key is None else access_key,
        SCW_SECRET_KEY=good.secret_key if secret_key is None else secret_key,
    )
    bench.put_credential()
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "SecretInvalid")
    assert says in bench.said()[2]
    assert bench.calls() == 0
    for text in (str(bench.status()), caplog.text, str(bench.cluster.events)):
        assert "hunter2" not in text


async def test_other_key_names_and_a_final_newline_are_fine(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key)
    await bench.claimed()
    bench.cluster.put_secret(bench.name, "mine", id=f"{key.access_key}\n", key=f"{key.secret_key}\n")
    bench.put_credential(secretRef={"name": "mine", "accessKeyKey": "id", "secretKeyKey": "key"})
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")


async def test_a_key_that_scaleway_does_not_know_is_rejected(bench: Bench) -> None:
    await bench.claimed()
    bench.put_secret(TestKey())
    bench.put_credential()
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "CredentialRejected")
    row = await bench.row()
    assert not row.ready
    assert row.rejected_at is not None


async def test_an_expired_key_is_called_so(bench: Bench) -> None:
    key = TestKey()
    ends = bench.clock.now() + timedelta(days=3)
    bench.admit(key, expires_at=ends.isoformat())
    await bench.made_with(key)
    assert bench.status()["expiresAt"].startswith(ends.isoformat()[:19])
    assert bench.cluster.condition(CREDENTIAL, bench.name, "scaleway", "Expiring")["status"] == "True"
    await bench.clock.sleep(3 * 86400 + 700)
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "CredentialExpired")


async def test_a_key_of_another_project_is_a_mismatch(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key, project_id="99999999-9999-4999-8999-999999999999")
    bench.world.identity.project(bench.project_id, now=bench.world.now)
    await bench.claimed()
    bench.put_secret(key)
    bench.put_credential()
    await bench.settle_credential()
    status, reason, message = bench.said()
    assert (status, reason) == ("False", "ProjectMismatch")
    assert "99999999-9999-4999-8999-999999999999" in message
    assert not (await bench.row()).ready


async def test_a_fresh_key_without_rights_has_two_minutes(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key, rights=["iam"])
    await bench.claimed()
    bench.put_secret(key)
    bench.put_credential()
    await bench.settle_credential()
    assert bench.said()[:2] == ("Unknown", "Progressing")
    await bench.pass_for(100.0)
    assert bench.said()[:2] == ("Unknown", "Progressing")
    await bench.pass_for(60.0)
    status, reason, message = bench.said()
    assert (status, reason) == ("False", "PermissionDenied")
    assert "InstancesFullAccess" in message
    bench.admit(key)
    await bench.pass_for(130.0)
    assert bench.said()[:2] == ("True", "Ready")


async def test_rights_on_instances_and_block_storage_are_enough(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key, rights=["instances", "block"])
    await bench.made_with(key)
    assert bench.said()[:2] == ("True", "Ready")


@pytest.mark.parametrize(
    ("kind", "more"),
    [("status", {"status": 503}), ("drop_before", {}), ("html", {}), ("status", {"status": 429})],
    ids=["503", "no-answer", "html", "429"],
)
async def test_a_provider_without_a_clear_answer_says_nothing_about_the_key(
    bench: Bench, kind: str, more: dict[str, Any]
) -> None:
    key = TestKey()
    bench.admit(key)
    await bench.claimed()
    bench.put_secret(key)
    bench.put_credential()
    bench.fault(kind, "security_groups", times=None, **more)
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "ProviderUnreachable")
    assert (await bench.row()).rejected_at is None
    bench.world.faults.clear()
    await bench.pass_for(120.0)
    assert bench.said()[:2] == ("True", "Ready")


async def test_T1_a_project_belongs_to_the_first_that_proves_access(bench: Bench) -> None:
    await bench.made()
    first, second = bench.name, f"{bench.name}-2"
    key = TestKey()
    bench.admit(key)
    bench.name = second
    await bench.claimed()
    bench.put_secret(key)
    bench.put_credential()
    await bench.settle_credential()
    status, reason, message = bench.said()
    assert (status, reason) == ("False", "ProjectConflict")
    assert first not in message
    assert not (await bench.row()).ready


async def test_an_annotation_without_effect_is_said_whatever_the_state(bench: Bench) -> None:
    annotation = "inventiv.io/release-freeze"
    await bench.made()
    before = bench.said()
    bench.cluster.put(
        CREDENTIAL,
        bench.name,
        "scaleway",
        metadata={"annotations": {annotation: bench.status()["credentialID"]}},
    )
    await bench.settle_credential()
    status, reason, message = bench.said()
    assert (status, reason) == before[:2] == ("True", "Ready")
    assert message == f"{before[2]}; the annotation {annotation} has no effect in this release"
    bench.cluster.vanish(SECRET, bench.name, "scaleway")
    await bench.settle_credential()
    assert bench.said()[1] == "SecretMissing"
    assert bench.said()[2].endswith(f"{annotation} has no effect in this release")
    bench.cluster.put(CREDENTIAL, bench.name, "scaleway", metadata={"annotations": {}})
    await bench.settle_credential()
    assert annotation not in bench.said()[2]


async def test_a_spec_that_nobody_can_read_is_said_and_can_be_deleted(bench: Bench) -> None:
    await bench.claimed()
    bench.put_credential(projectID="no uuid")
    await bench.settle_credential()
    assert bench.said()[:2] == ("False", "InvalidSpec")
    assert "spec.projectID" in bench.said()[2]


async def test_T2_the_secret_of_another_namespace_is_out_of_reach(bench: Bench) -> None:
    key = TestKey()
    bench.admit(key)
    await bench.claimed()
    bench.cluster.put_secret(
        "elsewhere", "scaleway", SCW_ACCESS_KEY=key.access_key, SCW_SECRET_KEY=key.secret_key
    )
    bench.put_credential()
    await bench.settle_credential()
    assert bench.said()[1] == "SecretMissing"


async def test_the_first_key_can_be_replaced_before_it_was_ever_proven(bench: Bench) -> None:
    await bench.claimed()
    bench.put_secret(TestKey())
    bench.put_credential()
    await bench.settle_credential()
    good = TestKey()
    bench.admit(good)
    bench.put_secret(good)
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
    assert await bench.stored_access_key() == good.access_key


async def test_another_organization_does_not_see_the_key(bench: Bench) -> None:
    await bench.made()
    row = await bench.row()
    with pytest.raises(MissingProviderCredentials):
        await bench.stored(OrganizationId(uuid4()), row.id)


async def test_a_project_of_another_scaleway_organization_is_said_and_can_be_corrected(bench: Bench) -> None:
    await bench.claimed()
    key, wrong = TestKey(), str(uuid4())
    bench.admit(key)
    right = bench.world.organization_of(bench.project_id)
    bench.put_secret(key)
    bench.put_credential(organizationID=wrong)
    await bench.settle_credential()
    status, reason, message = bench.said()
    assert (status, reason) == ("False", "ProjectMismatch")
    assert f"is of Scaleway organization {right}, but spec.organizationID is {wrong}" in message
    assert (await bench.row()).frozen_reason == ""
    bench.put_credential(organizationID=right)
    await bench.settle_credential()
    assert bench.said()[:2] == ("True", "Ready")
