"""What two JSON answers differ in: keys, recursively, and JSON types. Values are not compared."""

from collections.abc import Iterator
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


def differences(recorded: Any, simulated: Any, path: str = "$") -> Iterator[str]:
    """One line per difference, `path: recorded -> simulated`."""
    expected, found = json_type(recorded), json_type(simulated)
    if expected != found:
        yield f"{path}: {expected} -> {found}"
    elif expected == "object":
        yield from _objects(recorded, simulated, path)
    elif expected == "array":
        yield from _arrays(recorded, simulated, path)


def _objects(recorded: dict[str, Any], simulated: dict[str, Any], path: str) -> Iterator[str]:
    if path in MAPS:
        yield from _arrays(list(recorded.values()), list(simulated.values()), path)
        return
    for key in recorded.keys() - simulated.keys():
        yield f"{path}.{key}: {json_type(recorded[key])} -> missing"
    for key in simulated.keys() - recorded.keys():
        yield f"{path}.{key}: missing -> {json_type(simulated[key])}"
    for key in recorded.keys() & simulated.keys():
        yield from differences(recorded[key], simulated[key], f"{path}.{key}")


def _arrays(recorded: list[Any], simulated: list[Any], path: str) -> Iterator[str]:
    """Each recorded element must be answered by one of a like shape, and the other way round."""
    if bool(recorded) != bool(simulated):
        yield f"{path}: {len(recorded)} elements -> {len(simulated)}"
        return
    for element in recorded:
        if not any(_alike(element, other, f"{path}[]") for other in simulated):
            yield from differences(element, simulated[0], f"{path}[]")
            return
    for element in simulated:
        if not any(_alike(other, element, f"{path}[]") for other in recorded):
            yield from differences(recorded[0], element, f"{path}[]")
            return


def _alike(recorded: Any, simulated: Any, path: str) -> bool:
    return next(differences(recorded, simulated, path), None) is None
