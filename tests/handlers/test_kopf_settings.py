"""Kopf's settings, each for a measured reason (architecture.md, section 2)."""

import itertools

import pytest

from inventiv_operator.handlers.kopf_settings import (
    KOPF_FINALIZER,
    EndlessBackoffs,
    connection_of,
    kopf_settings,
)
from inventiv_operator.kube.access import Access
from inventiv_operator.kube.kinds import CLEANUP_FINALIZER


def test_backoffs_never_end_and_begin_anew_for_each_request() -> None:
    backoffs = EndlessBackoffs()
    first = list(itertools.islice(backoffs, 1000))
    assert first[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert max(first) == 30
    assert next(iter(backoffs)) == 1


def test_a_finite_list_would_be_noticed() -> None:
    with pytest.raises(TypeError):
        len(EndlessBackoffs())  # type: ignore[arg-type]


def test_the_settings_that_correctness_rests_on() -> None:
    settings = kopf_settings()
    assert settings.persistence.finalizer == KOPF_FINALIZER != CLEANUP_FINALIZER
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.watching.label_selectors["v1", "secrets"] == "inventiv.io/credential=true"
    assert isinstance(settings.networking.error_backoffs, EndlessBackoffs)
    assert not settings.networking.trust_env
    assert settings.queueing.worker_limit is None


def test_a_login_never_trusts_the_environment() -> None:
    access = Access(
        server="https://x",
        authorization="Bearer t",
        ca_path="/ca",
        certificate_path=None,
        private_key_path=None,
        insecure=False,
        server_name=None,
        proxy_url=None,
        in_cluster=True,
    )
    connection = connection_of(access)
    assert (connection.server, connection.scheme, connection.token) == ("https://x", "Bearer", "t")
    assert connection.trust_env is False
    assert connection.expiration is not None
