"""The table of settings, and which value counts."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventiv_operator.api.settings import Settings
from inventiv_operator.domain.settings import (
    KEYS,
    KNOWN,
    Layer,
    SettingChange,
    SettingValue,
    by_key,
    changes,
    resolve,
    wire_name_of,
)

FIELD_OF = {
    "INSTANCE_STARTUP_TIMEOUT_S": "instance_startup_timeout_s",
    "WORKER_INSTANCE_STARTUP_TIMEOUT_S": "worker_instance_startup_timeout_s",
    "WORKER_HEALTH_PORT": "worker_health_port",
    "WORKER_VLLM_PORT": "worker_vllm_port",
    "WORKER_DATA_VOLUME_GB_DEFAULT": "worker_data_volume_gb",
    "WORKER_EXPOSE_PORTS": "worker_expose_ports",
    "WORKER_VLLM_IMAGE": "worker_vllm_image",
}

VALUES: dict[str, st.SearchStrategy[SettingValue]] = {
    "INSTANCE_STARTUP_TIMEOUT_S": st.integers(30, 86400),
    "WORKER_INSTANCE_STARTUP_TIMEOUT_S": st.integers(30, 86400),
    "WORKER_HEALTH_PORT": st.integers(1, 65535),
    "WORKER_VLLM_PORT": st.integers(1, 65535),
    "WORKER_DATA_VOLUME_GB_DEFAULT": st.integers(50, 5000),
    "WORKER_EXPOSE_PORTS": st.booleans(),
    "WORKER_VLLM_IMAGE": st.text("abc/:.", max_size=512),
}
LEVELS = st.fixed_dictionaries({}, optional=VALUES)


def test_S1_the_settings_are_those_of_the_product() -> None:
    table = [(s.key, s.wire_name, s.least, s.most, s.longest, s.built_in, type(s.built_in)) for s in KNOWN]
    long = "WORKER_INSTANCE_STARTUP_TIMEOUT_S"
    assert table == [
        ("INSTANCE_STARTUP_TIMEOUT_S", "instanceStartupTimeoutSeconds", 30, 86400, None, 300, int),
        (long, "workerInstanceStartupTimeoutSeconds", 30, 86400, None, 3600, int),
        ("WORKER_HEALTH_PORT", "workerHealthPort", 1, 65535, None, 8080, int),
        ("WORKER_VLLM_PORT", "workerVLLMPort", 1, 65535, None, 8000, int),
        ("WORKER_DATA_VOLUME_GB_DEFAULT", "workerDataVolumeGB", 50, 5000, None, 200, int),
        ("WORKER_EXPOSE_PORTS", "workerExposePorts", None, None, None, False, bool),
        ("WORKER_VLLM_IMAGE", "workerVLLMImage", None, None, 512, "", str),
    ]  # fmt: skip


def test_S1_the_schema_of_the_kinds_has_the_same_names_types_and_bounds() -> None:
    """What the CRDs are rendered from (api/render.py)."""
    properties = Settings.model_json_schema(by_alias=True)["properties"]
    assert set(properties) == {setting.wire_name for setting in KNOWN}
    for setting in KNOWN:
        (schema,) = [part for part in properties[setting.wire_name]["anyOf"] if part != {"type": "null"}]
        expected: dict[str, Any] = {
            "type": {int: "integer", bool: "boolean", str: "string"}[type(setting.built_in)]
        }
        if setting.least is not None:
            expected |= {"minimum": setting.least, "maximum": setting.most}
        if setting.longest is not None:
            expected |= {"maxLength": setting.longest}
        assert {name: value for name, value in schema.items() if name in expected} == expected
        shown = json.dumps(setting.built_in) if setting.built_in != "" else "none"
        assert shown in properties[setting.wire_name]["description"]


def test_each_name_on_the_wire_leads_to_its_key_and_back() -> None:
    whole = Settings.model_validate(
        {setting.wire_name: setting.built_in for setting in KNOWN if setting.built_in != 200}
        | {"workerDataVolumeGB": 50}
    )
    keys = by_key(whole.given())
    assert set(keys) == KEYS
    assert {wire_name_of(key): value for key, value in keys.items()} == whole.given()


# -- resolution ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "credential", "organization", "counts"),
    [
        pytest.param({}, {}, {}, 8080, id="built-in"),
        pytest.param({}, {}, {"WORKER_HEALTH_PORT": 3}, 3, id="organization"),
        pytest.param({}, {"WORKER_HEALTH_PORT": 2}, {"WORKER_HEALTH_PORT": 3}, 2, id="credential"),
        pytest.param(
            {"WORKER_HEALTH_PORT": 1}, {"WORKER_HEALTH_PORT": 2}, {"WORKER_HEALTH_PORT": 3}, 1, id="own"
        ),
        pytest.param({"WORKER_HEALTH_PORT": 1}, {}, {"WORKER_HEALTH_PORT": 3}, 1, id="own-over-organization"),
        pytest.param({"WORKER_VLLM_PORT": 1}, {"WORKER_VLLM_PORT": 2}, {}, 8080, id="another-key"),
    ],
)
def test_S8_the_first_level_that_has_a_value_counts(
    own: Layer, credential: Layer, organization: Layer, counts: int
) -> None:
    assert resolve(own=own, credential=credential, organization=organization).worker_health_port == counts


@pytest.mark.parametrize(
    ("key", "value"), [("WORKER_EXPOSE_PORTS", False), ("WORKER_VLLM_IMAGE", "")], ids=["false", "empty"]
)
def test_S8_a_value_that_says_no_is_a_value(key: str, value: SettingValue) -> None:
    loud: Layer = {"WORKER_EXPOSE_PORTS": True, "WORKER_VLLM_IMAGE": "vllm:1"}
    assert asdict(resolve(credential={key: value}, organization=loud))[FIELD_OF[key]] == value


@given(own=LEVELS, credential=LEVELS, organization=LEVELS)
def test_S8_every_setting_is_resolved_by_itself(own: Layer, credential: Layer, organization: Layer) -> None:
    effective = asdict(resolve(own=own, credential=credential, organization=organization))
    assert set(effective) == set(FIELD_OF.values())
    for setting in KNOWN:
        said = [level[setting.key] for level in (own, credential, organization) if setting.key in level]
        value = effective[FIELD_OF[setting.key]]
        assert value == (said[0] if said else setting.built_in)
        assert type(value) is type(setting.built_in)


@pytest.mark.parametrize("prefix", ["", "INVENTIV_", "SCW_", "SCALEWAY_"])
def test_T3_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    before = resolve(credential={"WORKER_VLLM_PORT": 1})
    for setting in KNOWN:
        monkeypatch.setenv(prefix + setting.key, "7777")
    assert resolve(credential={"WORKER_VLLM_PORT": 1}) == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("INSTANCE_STARTUP_TIMEOUT_S", 29),
        ("INSTANCE_STARTUP_TIMEOUT_S", 86401),
        ("WORKER_HEALTH_PORT", 0),
        ("WORKER_VLLM_PORT", 65536),
        ("WORKER_DATA_VOLUME_GB_DEFAULT", 49),
        ("WORKER_DATA_VOLUME_GB_DEFAULT", 5001),
        ("WORKER_HEALTH_PORT", True),
        ("WORKER_HEALTH_PORT", "8080"),
        ("WORKER_EXPOSE_PORTS", 1),
        ("WORKER_VLLM_IMAGE", "x" * 513),
    ],
)
def test_S1_a_value_beyond_its_bounds_is_never_used(key: str, value: SettingValue) -> None:
    with pytest.raises(ValueError, match=key):
        resolve(organization={key: value})


# -- changes -------------------------------------------------------------------------------------------------


def test_what_is_set_changed_and_taken_back() -> None:
    stored: Layer = {"WORKER_HEALTH_PORT": 1, "WORKER_VLLM_PORT": 2, "WORKER_VLLM_IMAGE": "a"}
    wanted: Layer = {"WORKER_VLLM_PORT": 3, "WORKER_EXPOSE_PORTS": False, "WORKER_VLLM_IMAGE": "a"}
    assert changes(stored, wanted) == (
        SettingChange(key="WORKER_HEALTH_PORT", before=1, after=None),
        SettingChange(key="WORKER_VLLM_PORT", before=2, after=3),
        SettingChange(key="WORKER_EXPOSE_PORTS", before=None, after=False),
    )


def test_S1_the_identity_of_a_credential_is_nothing_to_take_back() -> None:
    assert changes({"SCALEWAY_PROJECT_ID": "p", "SCALEWAY_ACCESS_KEY": "a"}, {}) == ()


@given(stored=LEVELS, wanted=LEVELS)
def test_S1_the_changes_lead_from_one_level_to_the_other(
    stored: dict[str, SettingValue], wanted: dict[str, SettingValue]
) -> None:
    after = dict(stored)
    for change in changes(stored, wanted):
        assert after.pop(change.key, None) == change.before
        if change.after is not None:
            after[change.key] = change.after
    assert after == wanted
    assert changes(wanted, wanted) == ()
