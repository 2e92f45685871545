"""From an answer to an error."""

import json
from typing import Any

import pytest

from inventiv_operator.kube.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    Unauthorized,
    Unavailable,
    error_of,
)


def status(**fields: Any) -> bytes:
    return json.dumps({"kind": "Status", "reason": "R", "message": "said", **fields}).encode()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (405, Invalid),
        (408, Unavailable),
        (409, Conflict),
        (410, Gone),
        (413, Invalid),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_the_status_decides(code: int, kind: type[KubeError]) -> None:
    error = error_of(status=code, body=status(), what="get X", rule="get x")
    assert type(error) is kind
    assert (error.status, error.reason) == (code, "R")
    assert "get X" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>404 Not Found</html>",
        b"404 page not found",
        b'{"kind":"Error","reason":"NotFound"}',
        status(),
        status(reason=""),
    ],
)
def test_L9_a_404_that_is_not_the_api_servers_word_on_an_object_is_unknown(body: bytes) -> None:
    assert type(error_of(status=404, body=body, what="get X", rule="get x")) is Unavailable


def test_a_404_with_a_status_means_not_there() -> None:
    error = error_of(status=404, body=status(reason="NotFound"), what="get X", rule="get x")
    assert type(error) is NotFound


def test_our_own_401_is_never_a_fact_about_an_object() -> None:
    assert issubclass(Unauthorized, Unavailable)
    assert not issubclass(Unauthorized, NotFound)


@pytest.mark.parametrize(
    "body", [b"", b"<html>hunter2</html>", b'["hunter2"]', b'{"kind":"Secret","message":"hunter2"}']
)
def test_a_body_that_is_no_status_is_left_out(body: bytes) -> None:
    error = error_of(status=500, body=body, what="get X", rule="get x")
    assert "hunter2" not in str(error)
    assert "HTTP 500" in str(error)


@pytest.mark.parametrize(("header", "expected"), [("7", 7.0), ("soon", None), (None, None)])
def test_retry_after_is_passed_on(header: str | None, expected: float | None) -> None:
    error = error_of(status=429, body=b"", what="w", rule="r", retry_after=header)
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == expected
