"""From a pydantic model to a structural OpenAPI v3 schema, as the API server takes it.

JSON schema says more than a CRD may: references, null as a type, titles. They are resolved here. What has no
counterpart is an error at rendering time, not a surprise at the API server.
"""

from collections.abc import Mapping
from typing import Any

from inventiv_operator.api.base import Model

Schema = dict[str, Any]

_KEPT = (
    "type",
    "format",
    "default",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
)
_DROPPED = {
    "title",
    "$defs",
    "$ref",
    "anyOf",
    "allOf",
    "const",
    "properties",
    "required",
    "items",
    "description",
}


class NotStructural(Exception):
    """A model says something that a CRD cannot."""


def structural_schema(model: type[Model]) -> Schema:
    """The schema of a whole object, without `apiVersion`, `kind` and `metadata`.

    Raises:
        NotStructural: the model uses something that has no counterpart, or leaves a field undescribed.
    """
    rendered = model.model_json_schema(by_alias=True, mode="validation")
    return _converted(rendered, rendered.get("$defs", {}), path="")


def _converted(given: Mapping[str, Any], definitions: Mapping[str, Any], *, path: str) -> Schema:
    node = _resolved(given, definitions, path=path)
    result: Schema = {}
    if text := node.get("description"):
        result["description"] = _one_paragraph(text)
    for key in _KEPT:
        if key in node:
            result[key] = node[key]
    if "const" in node:
        result["enum"] = [node["const"]]
    if "properties" in node:
        result["properties"] = {
            name: _property(name, child, definitions, path=path) for name, child in node["properties"].items()
        }
        if node.get("required"):
            result["required"] = sorted(node["required"])
    if "items" in node:
        result["items"] = _converted(node["items"], definitions, path=f"{path}[]")
        result["items"].pop("description", None)  # what one is stands at the list and at its fields
    extensions = {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    unknown = node.keys() - {*_KEPT, *_DROPPED} - extensions.keys()
    if unknown or "type" not in node:
        raise NotStructural(f"{path or '.'}: {', '.join(sorted(unknown)) or 'no type'}")
    _settle_default(result)
    return {**result, **extensions}


def without_defaults(node: Schema) -> Schema:
    """For a status: what the API server fills in would make it differ from what was written, for ever."""
    kept = {key: value for key, value in node.items() if key != "default"}
    if "properties" in kept:
        kept["properties"] = {name: without_defaults(child) for name, child in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = without_defaults(kept["items"])
    return kept


def _property(name: str, given: Mapping[str, Any], definitions: Mapping[str, Any], *, path: str) -> Schema:
    where = f"{path}.{name}"
    result = _converted(given, definitions, path=where)
    if "description" not in result:
        raise NotStructural(f"{where}: has no description")
    _require_bounds(result, path=where)
    return result


def _resolved(given: Mapping[str, Any], definitions: Mapping[str, Any], *, path: str) -> Schema:
    """Without `$ref` and null: an optional field is one that may be absent. The field's own words win."""
    node = dict(given)
    if "anyOf" in node:
        some = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        if len(some) != 1:
            raise NotStructural(f"{path}: a choice of types")
        node = {**some[0], **{key: value for key, value in node.items() if key != "anyOf"}}
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def _settle_default(node: Schema) -> None:
    """An absent list stays absent, and so does an object in which no field has a default to fill in."""
    if "default" not in node:
        return
    if node["default"] is None or node["type"] == "array" or node["default"] == "":
        del node["default"]
    elif node["type"] == "object":
        node["default"] = {}
        if not any("default" in child for child in node.get("properties", {}).values()):
            del node["default"]


def _require_bounds(node: Mapping[str, Any], *, path: str) -> None:
    """Without bounds the API server assumes the worst and refuses the rules for their cost."""
    if node["type"] == "array":
        if "maxItems" not in node:
            raise NotStructural(f"{path}: a list without a bound")
        if "x-kubernetes-list-type" not in node:
            raise NotStructural(f"{path}: a list without a type (set, map or atomic)")
        _require_bounds(node["items"], path=f"{path}[]")
    if node["type"] == "string" and not ("maxLength" in node or "enum" in node):
        raise NotStructural(f"{path}: a string without a bound")


def _one_paragraph(text: str) -> str:
    """Line breaks of the source are no line breaks of the text; an empty line is one."""
    return "\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))
