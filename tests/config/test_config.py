"""The environment is read once; what is wrong in it is one line, without a secret."""

from pathlib import Path

import pytest

from inventiv_operator.config import ConfigError, OperatorSettings, given_without_effect, load_settings
from provider_parts import another_tenant

URL = "postgresql://operator:hunter2@db:5432/inventiv"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INVENTIV_DATABASE_URL", URL)
    monkeypatch.setenv("INVENTIV_KEYRING_FILE", str(tmp_path / "keyring.json"))


def complaint() -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert settings.scaleway_api_url == "https://api.scaleway.com"
    assert (settings.settle_s, settings.provider_timeout_s, settings.shards) == (120, 30, 1)
    assert (settings.terminator_interval_s, settings.http_port, settings.log_format) == (30, 8080, "json")
    assert settings.operator_role == "inventiv_operator"


def test_what_is_required_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INVENTIV_DATABASE_URL")
    monkeypatch.setenv("INVENTIV_KEYRING_FILE", "")
    assert complaint() == (
        "INVENTIV_DATABASE_URL is required and not set; INVENTIV_KEYRING_FILE is required and not set"
    )


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("HTTP_PORT", "eighty", "'eighty'"),
        ("HTTP_PORT", "70000", "65535"),
        ("SETTLE_S", "-1", "greater than 0"),
        ("SETTLE_S", "nan", "finite"),
        ("LOG_LEVEL", "loud", "'loud'"),
        ("SCALEWAY_API_URL", "ftp://x", "http or https URL"),
        ("SCALEWAY_API_URL", "https://user@x", "http or https URL"),
        ("PROBE_CIDRS", "10.0.0.0/8, everywhere", "PROBE_CIDRS"),
        ("OPERATOR_ROLE", "Robert'); DROP", "OPERATOR_ROLE"),
        ("SHARDS", "0", "SHARDS"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"INVENTIV_{variable}", value)
    assert f"INVENTIV_{variable}" in complaint()
    assert says in complaint()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://operator:hunter2@db:port/inventiv",
        "postgresql://operator:hunter2@[db/inventiv",
        "mysql://operator:hunter2@db/inventiv",
        "postgresql://operator:hunter2@db:99999/inventiv",
        "hunter2",
    ],
)
def test_a_malformed_database_url_is_never_quoted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("INVENTIV_DATABASE_URL", url)
    assert "INVENTIV_DATABASE_URL: expected a PostgreSQL connection string" in complaint()
    assert "hunter2" not in complaint()


def test_a_secret_does_not_print_with_its_neighbour_s_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVENTIV_HTTPS_PROXY_URL", "socks5://me:hunter2@proxy")
    monkeypatch.setenv("INVENTIV_HTTP_PORT", "x")
    assert "hunter2" not in complaint()
    monkeypatch.undo()
    monkeypatch.setenv("INVENTIV_DATABASE_URL", URL)
    monkeypatch.setenv("INVENTIV_KEYRING_FILE", "/k")
    assert "hunter2" not in repr(load_settings())


@pytest.mark.parametrize(("variable", "value"), [("SETTLE_S", "2"), ("ORPHAN_GRACE_S", "10")])
def test_short_waits_are_refused_on_the_public_api_only(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"INVENTIV_{variable}", value)
    assert "too short for the public API" in complaint()
    monkeypatch.setenv("INVENTIV_SCALEWAY_API_URL", "http://127.0.0.1:8000/")
    assert load_settings().scaleway_api_url == "http://127.0.0.1:8000"


def test_a_flag_wins_over_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVENTIV_HTTP_PORT", "1234")
    assert load_settings(overrides={"http_port": 0, "log_level": None}).http_port == 0


def test_T3_nothing_but_our_own_variables_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = load_settings()
    another_tenant.put_everywhere(monkeypatch, tmp_path)
    for name in ("DATABASE_URL", "SCALEWAY_API_URL", "SCW_API_URL", "SETTLE_S", "HTTPS_PROXY", "PGHOST"):
        monkeypatch.setenv(name, "http://evil.example:1")
    settings = load_settings()
    assert settings.database_url.get_secret_value() == URL
    assert settings.scaleway_api_url == "https://api.scaleway.com"
    assert settings.https_proxy_url is None
    assert settings == before


def test_S3_a_seed_directory_may_be_mounted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fills one credential; what runs of everybody else must not wait for it."""
    monkeypatch.setenv("INVENTIV_SEED_DIR", "/does/not/exist")
    settings = load_settings()
    assert settings.seed_dir == Path("/does/not/exist")
    assert given_without_effect(settings) == ()
    monkeypatch.setenv("INVENTIV_SEED_DIR", "")
    assert load_settings().seed_dir is None


def test_lists_are_separated_by_commas_or_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVENTIV_PROBE_CIDRS", "10.0.0.0/8, 2001:db8::/32 192.0.2.0/24")
    assert [str(network) for network in load_settings().probe_cidrs] == [
        "10.0.0.0/8",
        "2001:db8::/32",
        "192.0.2.0/24",
    ]


def test_every_variable_of_the_contract_is_there() -> None:
    contract = (
        "DATABASE_URL MIGRATION_DATABASE_URL OPERATOR_ROLE KEYRING_FILE SCALEWAY_API_URL HTTPS_PROXY_URL"
        " CA_FILE"
        " SEED_DIR PROBE_CIDRS PROBE_ALLOW_CIDRS SETTLE_S PROVIDER_TIMEOUT_S SHARDS"
        " AUDIT_RETENTION_DAYS"
        " TOMBSTONE_RETENTION_DAYS PRICES_FILE WATCHDOG_INTERVAL_S TERMINATOR_INTERVAL_S"
        " VOLUME_CLEANUP_INTERVAL_S"
        " HEALTH_CHECK_INTERVAL_S FULL_RECONCILIATION_INTERVAL_S CATALOG_INTERVAL_S ORPHAN_GRACE_S"
        " LOST_RETENTION_S"
        " HTTP_PORT LOG_FORMAT LOG_LEVEL"
    )
    assert {name.upper() for name in OperatorSettings.model_fields} == set(contract.split())


def test_what_asks_for_something_that_is_not_there_yet_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_without_effect(load_settings()) == ()
    monkeypatch.setenv("INVENTIV_SHARDS", "4")
    monkeypatch.setenv("INVENTIV_LOST_RETENTION_S", "0")  # the default asks for nothing
    monkeypatch.setenv("INVENTIV_SETTLE_S", "90")
    assert given_without_effect(load_settings()) == ("INVENTIV_SHARDS",)
