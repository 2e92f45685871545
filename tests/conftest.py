import pytest

pytest_plugins = ["stack_fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the stack comes last, so that a quick mistake shows quickly."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stack)
    items.sort(key=lambda item: item.get_closest_marker("stack") is not None)
