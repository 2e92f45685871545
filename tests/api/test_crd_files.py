"""The committed CRDs are what the models say, and nothing a CRD cannot say gets that far."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from inventiv_operator.api.base import SET, Model
from inventiv_operator.api.render import drift, main, rendered_files
from inventiv_operator.api.structural import NotStructural, structural_schema

CRDS = Path(__file__).resolve().parents[2] / "crds"


def test_the_committed_files_are_those_of_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_a_changed_missing_or_left_over_file_is_drift(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path), "--check"]) == 0
    (tmp_path / "organizations.inventiv.io.yaml").write_text("changed")
    (tmp_path / "deployments.inventiv.io.yaml").unlink()
    (tmp_path / "former.inventiv.io.yaml").touch()
    (tmp_path / "kustomization.yaml").touch()
    assert drift(tmp_path, rendered_files()) == [
        "deployments.inventiv.io.yaml",
        "former.inventiv.io.yaml",
        "organizations.inventiv.io.yaml",
    ]
    assert main([str(tmp_path), "--check"]) == 1
    assert "make crds" in capsys.readouterr().err


def test_kustomize_takes_every_file() -> None:
    listed = yaml.safe_load((CRDS / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(rendered_files())


@pytest.mark.parametrize("name", sorted(rendered_files()))
def test_names_and_shape_are_those_of_the_contract(name: str) -> None:
    spec = yaml.safe_load((CRDS / name).read_text())["spec"]
    short = {"Organization": "iorg", "ProviderCredential": "icred", "Deployment": "idep"}
    assert spec["names"]["shortNames"] == [short[spec["names"]["kind"]]]
    assert spec["names"]["categories"] == ["inventiv"]
    assert spec["scope"] == ("Cluster" if spec["names"]["kind"] == "Organization" else "Namespaced")
    (version,) = spec["versions"]
    assert version["name"] == "v1alpha1"
    assert "status" in version["subresources"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert status["properties"]["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert "observedGeneration" in status["properties"]


def test_a_status_has_no_defaults() -> None:
    """They would make what is read differ from what was written: the status would be written for ever."""
    for text in rendered_files().values():
        schema = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert not list(_defaults(schema["properties"]["status"]))
        assert list(_defaults(schema["properties"]["spec"]))


def _defaults(node: dict[str, Any]) -> Iterator[Any]:
    if "default" in node:
        yield node["default"]
    for child in [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]:
        yield from _defaults(child)


def test_settings_have_no_defaults() -> None:
    """An absent key falls through to the next in line; a default would stop it."""
    for name in ("organizations.inventiv.io.yaml", "providercredentials.inventiv.io.yaml"):
        schema = yaml.safe_load(rendered_files()[name])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        settings = schema["properties"]["spec"]["properties"]["settings"]
        assert "default" not in settings
        assert not [field for field in settings["properties"].values() if "default" in field]


class _Undescribed(Model):
    field: int = 0


class _Unbounded(Model):
    text: str = ""
    """A string without a bound."""


class _UnboundedList(Model):
    numbers: Annotated[tuple[int, ...], Field(json_schema_extra=SET)] = ()
    """A list without a bound."""


class _UntypedList(Model):
    numbers: Annotated[tuple[int, ...], Field(max_length=3)] = ()
    """A list that may be merged in any way."""


class _UnboundedItems(Model):
    words: Annotated[tuple[str, ...], Field(max_length=3, json_schema_extra=SET)] = ()
    """A list of strings without a bound."""


class _Choice(Model):
    either: int | Annotated[str, Field(max_length=3)] = 0
    """A number or a text."""


class _Exclusive(Model):
    above: Annotated[int, Field(gt=0)] = 1
    """An open bound, which OpenAPI 3.0 writes in another way."""


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        pytest.param(_Undescribed, r"\.field: has no description", id="undescribed"),
        pytest.param(_Unbounded, r"\.text: a string without a bound", id="string"),
        pytest.param(_UnboundedList, r"\.numbers: a list without a bound", id="list"),
        pytest.param(_UntypedList, r"\.numbers: a list without a type", id="untyped-list"),
        pytest.param(_UnboundedItems, r"\.words\[\]: a string without a bound", id="items"),
        pytest.param(_Choice, r"\.either: a choice of types", id="choice"),
        pytest.param(_Exclusive, r"\.above: exclusiveMinimum", id="exclusive-bound"),
    ],
)
def test_what_a_crd_cannot_say_is_an_error_when_it_is_rendered(model: type[Any], complaint: str) -> None:
    with pytest.raises(NotStructural, match=complaint):
        structural_schema(model)
