"""What two JSON answers differ in: keys, recursively, and JSON types. Values are not compared."""

from collections.abc import Hashable, Iterator
from typing import Any

MAPS = frozenset({"$.servers"})
"""Dictionaries keyed by data, not by field: types of `products/servers`."""


def json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            raise TypeError(type(value))


def shape(value: Any, path: str = "$") -> Hashable:
    """Equal for alike values; of a list the shapes that occur in it count, not how often."""
    if isinstance(value, dict) and path not in MAPS:
        return frozenset((key, shape(each, f"{path}.{key}")) for key, each in value.items())
    if isinstance(value, list | dict):
        elements = value if isinstance(value, list) else value.values()
        return ("array", frozenset(shape(each, f"{path}[]") for each in elements))
    return json_type(value)


def differences(recorded: Any, simulated: Any, path: str = "$") -> Iterator[str]:
    """One line per difference, `path: recorded -> simulated`."""
    if shape(recorded, path) == shape(simulated, path):
        return
    expected, found = json_type(recorded), json_type(simulated)
    if expected != found:
        yield f"{path}: {expected} -> {found}"
    elif expected == "object" and path not in MAPS:
        yield from _objects(recorded, simulated, path)
    elif expected == "object":
        yield from _arrays(list(recorded.values()), list(simulated.values()), path)
    else:
        yield from _arrays(recorded, simulated, path)


def _objects(recorded: dict[str, Any], simulated: dict[str, Any], path: str) -> Iterator[str]:
    for key in sorted(recorded.keys() - simulated.keys()):
        yield f"{path}.{key}: {json_type(recorded[key])} -> missing"
    for key in sorted(simulated.keys() - recorded.keys()):
        yield f"{path}.{key}: missing -> {json_type(simulated[key])}"
    for key in sorted(recorded.keys() & simulated.keys()):
        yield from differences(recorded[key], simulated[key], f"{path}.{key}")


def _arrays(recorded: list[Any], simulated: list[Any], path: str) -> Iterator[str]:
    """The first element of a shape that the other side does not have, against the other's first."""
    if not recorded or not simulated:
        yield f"{path}: {len(recorded)} elements -> {len(simulated)}"
        return
    expected = {shape(each, f"{path}[]"): each for each in recorded}
    found = {shape(each, f"{path}[]"): each for each in simulated}
    for form in expected.keys() - found.keys():
        yield from differences(expected[form], simulated[0], f"{path}[]")
        return
    for form in found.keys() - expected.keys():
        yield from differences(recorded[0], found[form], f"{path}[]")
        return
