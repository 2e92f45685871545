"""The client on a real socket: what it sends, and what it makes of the answers."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from inventiv_operator.kube.client import KubeClient
from inventiv_operator.kube.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Unauthorized,
    Unavailable,
)
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER, DEPLOYMENT, NAMESPACE, ORGANIZATION, SECRET
from kube.api_server import FakeApiServer, fake_api_server

Server = tuple[FakeApiServer, KubeClient, str]


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with fake_api_server(tmp_path) as started:
        yield started


def deployment(**metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "acme", "name": "llama", "uid": "u1", "resourceVersion": "7", **metadata}
    }


async def test_an_object_is_read_where_its_kind_lives(server: Server) -> None:
    fake, client, _ = server
    fake.answer(deployment())
    assert await client.get(DEPLOYMENT, "acme", "llama") == deployment()
    assert fake.asked[0].path == "/apis/inventiv.io/v1alpha1/namespaces/acme/deployments/llama"
    assert fake.asked[0].headers["authorization"] == "Bearer first-token"


async def test_only_a_404_means_not_there(server: Server) -> None:
    fake, client, _ = server
    fake.refuse(404, "NotFound")
    assert await client.get(DEPLOYMENT, "acme", "llama") is None
    for status in (401, 401, 403, 429, 500, 503):  # a 401 is asked twice, with fresh credentials
        fake.refuse(status, "Whatever")
    for expected in (Unauthorized, Forbidden, Unavailable, Unavailable, Unavailable):
        with pytest.raises(expected):
            await client.get(DEPLOYMENT, "acme", "llama")


@pytest.mark.parametrize(
    "text", ["", "<html>", "[]", '"x"', '{"kind"'], ids=["empty", "html", "list", "text", "cut"]
)
async def test_an_answer_that_is_no_object_is_unknown(server: Server, text: str) -> None:
    fake, client, _ = server
    fake.answer(text)
    with pytest.raises(Unavailable):
        await client.get(DEPLOYMENT, "acme", "llama")


async def test_a_server_that_is_away_is_unavailable(tmp_path: Path) -> None:
    async with fake_api_server(tmp_path) as (fake, client, _):
        fake.use_token("t", server="http://127.0.0.1:1")
        with pytest.raises(Unavailable, match="cannot be reached"):
            await client.get(NAMESPACE, None, "acme")


async def test_a_rotated_token_is_taken_after_a_401(server: Server) -> None:
    fake, client, url = server
    fake.answer(deployment())
    await client.get(DEPLOYMENT, "acme", "llama")
    fake.use_token("second-token", server=url)
    fake.refuse(401, "Unauthorized")
    fake.answer(deployment())
    assert await client.get(DEPLOYMENT, "acme", "llama") is not None
    tokens = [asked.headers["authorization"] for asked in fake.asked]
    assert tokens == ["Bearer first-token", "Bearer first-token", "Bearer second-token"]


async def test_the_error_names_the_missing_rule(server: Server) -> None:
    fake, client, _ = server
    fake.refuse(403, "Forbidden")
    with pytest.raises(Forbidden) as caught:
        await client.apply_status(
            DEPLOYMENT, "acme", "llama", uid="u1", resource_version="7", status={"phase": "Ready"}
        )
    assert caught.value.rule == "patch deployments/status.inventiv.io"


async def test_a_status_is_applied_at_the_version_that_was_read(server: Server) -> None:
    fake, client, _ = server
    fake.answer(deployment())
    await client.apply_status(
        DEPLOYMENT, "acme", "llama", uid="u1", resource_version="7", status={"phase": "Ready"}
    )
    asked = fake.asked[0]
    assert asked.path.endswith("/deployments/llama/status")
    assert asked.headers["content-type"] == "application/apply-patch+yaml"
    assert asked.query == {"fieldManager": "inventiv-operator", "force": "true"}
    assert asked.body["metadata"] == {
        "namespace": "acme",
        "name": "llama",
        "uid": "u1",
        "resourceVersion": "7",
    }
    assert asked.body["status"] == {"phase": "Ready"}


async def test_a_finalizer_is_added_to_exactly_what_was_read(server: Server) -> None:
    fake, client, _ = server
    fake.answer(deployment())
    await client.add_finalizer(DEPLOYMENT, deployment(finalizers=["other/one"]))
    assert fake.asked[0].headers["content-type"] == "application/json-patch+json"
    assert fake.asked[0].body == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/metadata/finalizers/-", "value": CLEANUP_FINALIZER},
    ]


async def test_a_finalizer_that_is_there_costs_no_call(server: Server) -> None:
    fake, client, _ = server
    await client.add_finalizer(DEPLOYMENT, deployment(finalizers=[CLEANUP_FINALIZER]))
    await client.remove_finalizer(DEPLOYMENT, deployment())
    assert fake.asked == []


async def test_a_finalizer_is_removed_by_place_and_value(server: Server) -> None:
    fake, client, _ = server
    fake.refuse(404, "NotFound")  # it went meanwhile: that is what was wanted
    seen = deployment(finalizers=["other/one", CLEANUP_FINALIZER])
    assert await client.remove_finalizer(DEPLOYMENT, seen) is None
    assert fake.asked[0].body[1:] == [
        {"op": "test", "path": "/metadata/finalizers/1", "value": CLEANUP_FINALIZER},
        {"op": "remove", "path": "/metadata/finalizers/1"},
    ]


async def test_a_json_patch_that_does_not_apply_is_a_conflict(server: Server) -> None:
    fake, client, _ = server
    fake.refuse(422, "Invalid", "the server rejected our request due to an error in our request")
    with pytest.raises(Conflict):
        await client.add_finalizer(DEPLOYMENT, deployment())
    fake.refuse(422, "Invalid", causes=[{"field": "metadata.finalizers"}])
    with pytest.raises(Invalid):
        await client.add_finalizer(DEPLOYMENT, deployment())


async def test_a_list_is_complete_or_an_error(server: Server) -> None:
    fake, client, _ = server
    fake.answer({"items": [{"n": 1}], "metadata": {"resourceVersion": "5", "continue": "more"}})
    fake.answer({"items": [{"n": 2}], "metadata": {"resourceVersion": "5"}})
    listed = await client.list(ORGANIZATION, metadata_only=True)
    assert (list(listed.items), listed.resource_version) == ([{"n": 1}, {"n": 2}], "5")
    assert [asked.query.get("continue") for asked in fake.asked] == [None, "more"]
    assert "PartialObjectMetadataList" in fake.asked[0].headers["accept"]
    fake.answer({"items": [{"n": 1}], "metadata": {"resourceVersion": "5", "continue": "more"}})
    fake.refuse(500, "InternalError")
    with pytest.raises(Unavailable):
        await client.list(ORGANIZATION)


async def test_an_expired_continuation_starts_over_once(server: Server) -> None:
    fake, client, _ = server
    fake.answer({"items": [{"n": 1}], "metadata": {"resourceVersion": "5", "continue": "old"}})
    fake.refuse(410, "Expired")
    fake.answer({"items": [{"n": 3}], "metadata": {"resourceVersion": "9"}})
    listed = await client.list(ORGANIZATION)
    assert (list(listed.items), listed.resource_version) == ([{"n": 3}], "9")
    fake.refuse(410, "Expired")
    fake.refuse(410, "Expired")
    with pytest.raises(Gone):
        await client.list(ORGANIZATION)


async def test_missing_crds_are_named(server: Server) -> None:
    fake, client, _ = server
    fake.answer({"resources": [{"name": "organizations"}, {"name": "deployments/status"}]})
    assert await client.missing_crds() == ("providercredentials.inventiv.io", "deployments.inventiv.io")
    fake.refuse(404, "NotFound")
    assert len(await client.missing_crds()) == 3


async def test_the_identity_of_a_cluster_is_the_uid_of_kube_system(server: Server) -> None:
    fake, client, _ = server
    fake.answer({"metadata": {"name": "kube-system", "uid": "abc"}})
    assert await client.cluster_uid() == "abc"
    fake.refuse(404, "NotFound")
    with pytest.raises(Unavailable):
        await client.cluster_uid()


async def test_a_namespace_is_labelled_by_uid_and_version(server: Server) -> None:
    fake, client, _ = server
    fake.refuse(409, "Conflict")
    with pytest.raises(Conflict):
        await client.label_namespace("acme", uid="n1", resource_version="3", value=None)
    assert fake.asked[0].headers["content-type"] == "application/merge-patch+json"
    assert fake.asked[0].body == {
        "metadata": {"uid": "n1", "resourceVersion": "3", "labels": {"inventiv.io/organization": None}}
    }


async def test_a_secret_does_not_print(server: Server) -> None:
    fake, client, _ = server
    encoded = {"SCW_SECRET_KEY": "aHVudGVyMg==", "broken": "%%%"}
    fake.answer(
        {"metadata": {"namespace": "acme", "name": "s", "uid": "1", "resourceVersion": "1"}, "data": encoded}
    )
    secret = await client.get_secret("acme", "s")
    assert secret is not None
    assert secret.data["SCW_SECRET_KEY"].get_secret_value() == b"hunter2"
    assert set(secret.data) == {"SCW_SECRET_KEY"}
    for text in (repr(secret), str(secret), f"{secret.data}"):
        assert "hunter2" not in text
        assert "aHVudGVyMg" not in text


async def test_the_text_of_a_foreign_answer_is_left_out(server: Server) -> None:
    fake, client, _ = server
    fake.answer("the password is hunter2", status=500)
    with pytest.raises(Unavailable) as caught:
        await client.get_secret("acme", "s")
    assert "hunter2" not in str(caught.value)


async def test_a_nameless_object_is_never_the_whole_collection(server: Server) -> None:
    fake, client, _ = server
    for namespace, name in (("acme", ""), ("", "llama"), (None, "llama")):
        with pytest.raises(Invalid):
            await client.get(SECRET, namespace, name)
    assert fake.asked == []


async def test_a_name_cannot_leave_its_path(server: Server) -> None:
    fake, client, _ = server
    fake.refuse(404, "NotFound")
    await client.get(ORGANIZATION, None, "a/../../secrets")
    assert fake.asked[0].path.startswith("/apis/inventiv.io/v1alpha1/organizations/a")


async def test_an_annotation_that_is_used_up_is_removed(server: Server) -> None:
    fake, client, _ = server
    fake.answer(deployment())
    await client.remove_annotation(
        DEPLOYMENT, deployment(annotations={"inventiv.io/x": "1"}), "inventiv.io/x"
    )
    assert fake.asked[0].body[1] == {"op": "remove", "path": "/metadata/annotations/inventiv.io~1x"}
    await client.remove_annotation(DEPLOYMENT, deployment(), "inventiv.io/x")
    assert len(fake.asked) == 1


async def test_creating_what_is_there_is_a_conflict(server: Server) -> None:
    fake, client, _ = server
    fake.refuse(409, "AlreadyExists")
    with pytest.raises(Conflict):
        await client.create(NAMESPACE, None, {})
    fake.refuse(404, "NotFound")
    with pytest.raises(NotFound):
        await client.create(NAMESPACE, None, {})
