import io
import json
import logging
from collections.abc import Iterator

import pytest

from inventiv_operator.runtime.logging import bind, bound, configure_logging, redact


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_carries_its_fields_and_those_that_were_bound(stream: io.StringIO) -> None:
    configure_logging(log_format="json", level="info", stream=stream)
    with bound(organization="o1", namespace="acme", name=None, reconcile_id="r1"):
        logging.getLogger("test").info("server %s", "terminated", extra={"server_id": "s1", "count": 3})
    logging.getLogger("test").info("outside")
    first, second = lines(stream)
    assert first["message"] == "server terminated"
    assert first["level"] == "info"
    assert (first["organization"], first["namespace"], first["reconcile_id"]) == ("o1", "acme", "r1")
    assert (first["server_id"], first["count"]) == ("s1", 3)
    assert "name" not in first
    assert "organization" not in second


def test_what_was_inherited_from_another_step_is_taken_out(stream: io.StringIO) -> None:
    configure_logging(log_format="json", level="info", stream=stream)
    with bound(kind="Namespace", namespace=None, name="acme", organization="o1"):
        with bound(kind="Deployment", namespace="acme", name="llama", organization=None):
            logging.getLogger("test").info("a deployment")
            with bound(kind="Organization", namespace=None, name="acme"):
                logging.getLogger("test").info("an organization")
        logging.getLogger("test").info("again")
    deployment, organization, again = lines(stream)
    assert "organization" not in deployment
    assert "namespace" not in organization
    assert (again["name"], again["organization"]) == ("acme", "o1")


def test_a_fact_that_is_not_known_takes_nothing_out(stream: io.StringIO) -> None:
    configure_logging(log_format="json", level="info", stream=stream)
    with bound(organization="o1"):
        bind(organization=None)
        logging.getLogger("test").info("here")
    assert lines(stream)[0]["organization"] == "o1"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_T7_secrets_of_known_shapes_are_redacted_in_message_field_and_traceback(
    stream: io.StringIO, log_format: str
) -> None:
    configure_logging(log_format=log_format, level="info", stream=stream)
    logger = logging.getLogger("test")
    try:
        raise RuntimeError("connect to postgresql://operator:hunter2@db:5432/x failed")
    except RuntimeError:
        logger.exception(
            "no database", extra={"url": "https://u:hunter2@proxy:3128", "secret_key": "hunter2"}
        )
    logger.warning("sent X-Auth-Token: hunter2 and Authorization: Bearer hunter2hunter2")
    logger.warning("answer %s", {"secret_key": "hunter2", "name": "kept"})
    assert "hunter2" not in stream.getvalue()
    assert "db:5432" in stream.getvalue()
    assert "kept" in stream.getvalue()


def test_redaction_leaves_ordinary_words_alone() -> None:
    text = "Secret acme/scaleway has no key SCW_SECRET_KEY; see https://docs.example/a@b"
    assert redact(text) == text


def test_libraries_are_silent_at_info_and_speak_at_debug(stream: io.StringIO) -> None:
    configure_logging(log_format="json", level="info", stream=stream)
    for name in ("httpx", "kopf.objects", "kopf._core.engines.daemons", "asyncio"):
        logging.getLogger(name).info("noise of a steady state")
    logging.getLogger("kopf.objects").error("trouble", extra={"k8s_ref": {"namespace": "acme", "name": "x"}})
    (only,) = lines(stream)
    assert (only["message"], only["namespace"], only["name"]) == ("trouble", "acme", "x")
    configure_logging(log_format="json", level="debug", stream=stream)
    logging.getLogger("httpx").debug("now it may")
    assert lines(stream)[-1]["message"] == "now it may"


def test_text_is_for_people(stream: io.StringIO) -> None:
    configure_logging(log_format="text", level="info", stream=stream)
    with bound(namespace="acme"):
        logging.getLogger("test").warning("look here")
    assert stream.getvalue().rstrip().endswith("WARNING test: look here [namespace=acme]")
