import asyncio

import pytest

pytest_plugins = ["rig.fixtures", "stack_fixtures"]


def pytest_configure() -> None:
    """pytest-asyncio asks for the current loop, which would make one on demand that nobody closes."""
    asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the stack comes last, so that a quick mistake shows quickly."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stack)
    items.sort(key=lambda item: item.get_closest_marker("stack") is not None)
