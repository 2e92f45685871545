"""Which error an answer means: the type in the body first, then the status; an unclear 404 is no absence."""

import json
from collections import Counter

import pytest

from inventiv_operator.api.conditions import Reason
from inventiv_operator.scaleway import errors
from inventiv_operator.scaleway.errors import (
    Ambiguous,
    Conflict,
    Denied,
    InvalidArguments,
    NotFound,
    OutOfStock,
    Precondition,
    QuotaExceeded,
    RateLimited,
    Rejected,
    ScalewayError,
    Unavailable,
    refusal,
)
from provider_parts.recordings import recorded

REF = "cb63eaec-e7c5-4c1a-b3da-04a7c4bd51cd"
OTHER_REF = "5a90a249-4707-4bb9-8b86-bc23339c2b14"

RECORDED = {
    (400, "invalid_arguments"): InvalidArguments,
    (401, "denied_authentication"): Rejected,
    (403, "permissions_denied"): Denied,
    (404, "not_found"): NotFound,
    (404, None): Unavailable,  # the empty 404 of a user data key: not about the server
    (409, "transient_state"): Conflict,
    (429, None): RateLimited,
}


def error_of(
    status: int, content: object = None, *, method: str = "GET", asked_ref: str = REF, body: bytes = b""
) -> ScalewayError:
    raw = body or (b"" if content is None else json.dumps(content).encode())
    return refusal(
        status=status, body=raw, method=method, what="do it", asked_ref=asked_ref, request_id="r-1"
    )


def test_every_recorded_refusal_lands_in_its_class() -> None:
    counted: Counter[tuple[int, str | None]] = Counter()
    for exchange in recorded():
        if exchange.status < 400:
            continue
        kind = exchange.content.get("type") if isinstance(exchange.content, dict) else None
        error = refusal(
            status=exchange.status, body=exchange.body, method=exchange.method, what=exchange.template
        )
        expected = RECORDED[exchange.status, kind]
        if expected is Unavailable and exchange.method != "GET":
            expected = Ambiguous
        assert type(error) is expected, exchange.id
        counted[exchange.status, kind] += 1
    assert counted.keys() == RECORDED.keys()
    assert counted[404, "not_found"] > 800
    assert counted[429, None] > 40


def test_every_recorded_404_of_a_server_volume_or_group_names_the_id_that_was_asked_for() -> None:
    kinds = ("servers", "volumes", "security_groups")
    found = [
        exchange
        for exchange in recorded("GET")
        if exchange.status == 404 and exchange.template.endswith(tuple(f"/{kind}/{{id}}" for kind in kinds))
    ]
    for exchange in found:
        ref = exchange.path.rsplit("/", 1)[1]
        error = refusal(status=404, body=exchange.body, method="GET", what="read", asked_ref=ref)
        assert isinstance(error, NotFound), exchange.id
    assert len(found) > 550


QUOTA = {"type": "quotas_exceeded", "details": [{"resource": "servers", "quota": 2, "current": 2}]}


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        pytest.param(400, {"type": "precondition_failed"}, Precondition, id="precondition-of-instance-v1"),
        pytest.param(412, {"type": "precondition_failed"}, Precondition, id="precondition-of-block"),
        pytest.param(412, {"type": "out_of_stock", "resource": "L40S"}, OutOfStock, id="stock-of-instance"),
        pytest.param(503, {"type": "out_of_stock", "resource": "L4"}, OutOfStock, id="stock-of-others"),
        pytest.param(403, QUOTA, QuotaExceeded, id="quota-is-no-missing-right"),
        pytest.param(403, {"type": "permissions_denied"}, Denied, id="missing-right"),
        pytest.param(403, {"type": "authorization_required"}, Denied, id="missing-right-until-2024"),
        pytest.param(403, None, Denied, id="403-empty"),
        pytest.param(401, {"type": "denied_authentication"}, Rejected, id="401"),
        pytest.param(401, None, Rejected, id="401-empty"),
        pytest.param(429, None, RateLimited, id="429-empty"),
        pytest.param(429, {"type": "too_many_requests"}, RateLimited, id="429-typed"),
        pytest.param(409, {"type": "transient_state"}, Conflict, id="transient"),
        pytest.param(409, {"type": "already_exists"}, Conflict, id="exists"),
        pytest.param(423, {"type": "locked"}, Precondition, id="locked"),
        pytest.param(400, {"type": "invalid_request_error"}, InvalidArguments, id="arguments-until-2024"),
        pytest.param(400, {"type": "never_heard_of"}, InvalidArguments, id="400-unknown-type"),
        pytest.param(422, None, InvalidArguments, id="422"),
        pytest.param(404, {"type": "unknown_resource"}, NotFound, id="404-until-2023"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_definite_refusal_is_the_same_for_reads_and_writes(
    status: int, content: object, expected: type[ScalewayError], method: str
) -> None:
    assert type(error_of(status, content, method=method)) is expected


NO_OUTCOME = [
    pytest.param(500, {"type": "server_error", "message": "x"}, id="500"),
    pytest.param(500, {"type": "not_found", "resource_id": REF}, id="500-that-says-not-found"),
    pytest.param(500, {"type": "invalid_arguments"}, id="500-that-says-arguments"),
    pytest.param(502, None, id="502-empty"),
    pytest.param(503, None, id="503-empty"),
    pytest.param(504, {"error": "gateway"}, id="504"),
    pytest.param(408, None, id="408"),
    pytest.param(410, {"type": "expired", "resource_id": REF}, id="410"),
    pytest.param(301, None, id="301"),
    pytest.param(304, None, id="304"),
    pytest.param(418, None, id="a-status-nobody-knows"),
    pytest.param(404, None, id="404-empty"),
    pytest.param(404, {"detail": "Not Found"}, id="404-of-another-form"),
    pytest.param(404, {"type": 7}, id="404-whose-type-is-no-text"),
    pytest.param(404, ["not_found"], id="404-list"),
    pytest.param(404, {"type": "something_else"}, id="404-of-another-type"),
    pytest.param(404, {"type": "not_found", "resource_id": OTHER_REF}, id="404-about-another-id"),
]


@pytest.mark.parametrize(("status", "content"), NO_OUTCOME)
def test_an_answer_that_says_nothing_is_unavailable_to_a_read_and_ambiguous_to_a_write(
    status: int, content: object
) -> None:
    assert type(error_of(status, content)) is Unavailable
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert type(error_of(status, content, method=method)) is Ambiguous


@pytest.mark.parametrize(
    "body", [b"<html>404</html>", b"404 page not found", b'{"type": "not_fo', b"\xff\xfe"]
)
def test_L1_a_404_that_is_not_the_providers_own_is_no_absence(body: bytes) -> None:
    assert type(error_of(404, body=body)) is Unavailable


@pytest.mark.parametrize("status", [400, 401, 403, 408, 409, 410, 412, 423, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    "content",
    [None, {"type": "not_found", "resource_id": REF}, {"type": "not_found"}, {"message": "not found"}],
    ids=["empty", "typed", "typed-without-id", "text"],
)
def test_L1_nothing_but_a_404_is_an_absence(status: int, content: object) -> None:
    assert not isinstance(error_of(status, content), NotFound)


def test_a_404_for_this_very_id_is_one_whatever_the_case_of_its_letters() -> None:
    content = {"type": "not_found", "resource": "instance_server", "resource_id": REF.upper()}
    error = error_of(404, content)
    assert isinstance(error, NotFound)
    assert error.resource == "instance_server"


def test_an_expired_key_is_told_from_an_unknown_one() -> None:
    expired = error_of(401, {"type": "denied_authentication", "method": "api_key", "reason": "expired"})
    unknown = error_of(401, {"type": "denied_authentication", "method": "api_key", "reason": "not_found"})
    assert (expired.reason, unknown.reason) == ("CredentialExpired", "CredentialRejected")


def test_the_text_says_what_to_do_something_about() -> None:
    quota = str(error_of(403, QUOTA))
    assert "do it" in quota
    assert "servers (2 2)" in quota
    assert "r-1" in quota
    argument = {"argument_name": "commercial_type", "reason": "required", "help_message": "say which"}
    said = str(error_of(400, {"type": "invalid_arguments", "message": "invalid", "details": [argument]}))
    assert "commercial_type (required say which)" in said


def test_a_text_is_cut_and_holds_no_control_characters() -> None:
    said = str(error_of(400, {"type": "invalid_arguments", "message": "a\x1b[31m\n" + "x" * 10_000}))
    assert len(said) < 1000
    assert said.isprintable()


def test_a_body_in_another_form_is_not_repeated() -> None:
    assert "hunter2" not in str(error_of(403, body=b"<html>hunter2</html>"))
    assert "hunter2" not in str(error_of(403, {"password": "hunter2"}))


@pytest.mark.parametrize(
    ("retry_after", "content", "expected_s"),
    [
        pytest.param(None, None, None, id="none-as-recorded"),
        pytest.param("7", None, 7.0, id="header"),
        pytest.param(None, {"type": "too_many_requests", "reset_seconds": 3}, 3.0, id="body"),
        pytest.param("99999999", None, errors.RETRY_AFTER_MAX_S, id="not-for-ever"),
        pytest.param("-1", None, None, id="negative"),
        pytest.param("nan", None, None, id="not-a-number"),
        pytest.param("Wed, 21 Oct 2026 07:28:00 GMT", None, None, id="date"),
    ],
)
def test_how_long_to_wait_after_a_429(
    retry_after: str | None, content: object, expected_s: float | None
) -> None:
    body = b"" if content is None else json.dumps(content).encode()
    error = refusal(status=429, body=body, method="GET", what="x", retry_after=retry_after)
    assert error.retry_after_s == expected_s


def test_every_class_has_a_reason_of_the_contract() -> None:
    classes = [
        found
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, ScalewayError)
    ]
    assert len(classes) >= 14
    for found in classes:
        assert found("x").reason in set(Reason), found.__name__
