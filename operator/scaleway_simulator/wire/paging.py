"""Both kinds of pages (api.md 1)."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from scaleway_simulator.errors import invalid
from scaleway_simulator.wire.call import Answer, Call

ItemT = TypeVar("ItemT")
MAX_PAGE = 100
DEFAULT_PAGE = 50


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise invalid(name, "not a valid value")
    return int(text)


def numbered(
    call: Call, items: Sequence[ItemT], *, path: str, default_size: int = DEFAULT_PAGE
) -> tuple[Sequence[ItemT], dict[str, str]]:
    """A page of instance v1, and its X-Total-Count and Link headers.

    A page past the end is empty, with status 200: the Python SDK asks one too many.
    """
    page = max(1, _number(call.query, "page", 1))
    size = max(1, min(MAX_PAGE, _number(call.query, "per_page", default_size)))
    last = -(-len(items) // size)
    filters = "&".join(f"{k}={v}" for k, v in call.query.items() if k not in {"page", "per_page"})

    def link(number: int, rel: str) -> str:
        return f'<{path}?page={number}&per_page={size}&{filters}>; rel="{rel}"'

    links = [link(1, "first"), link(page - 1, "previous")] if page > 1 else []
    if page < last:
        links.append(link(page + 1, "next"))
    links.append(link(last, "last"))
    headers = {"X-Total-Count": str(len(items)), "Link": ",".join(links)}
    return items[(page - 1) * size : page * size], headers


def counted(call: Call, name: str, items: Sequence[Any]) -> Answer:
    """A page of block, IAM, account or marketplace: the total is in the body."""
    page = max(1, _number(call.query, "page", 1))
    size = max(1, min(MAX_PAGE, _number(call.query, "page_size", DEFAULT_PAGE)))
    shown = list(items[(page - 1) * size : page * size])
    return Answer(body={name: shown, "total_count": len(items)}, items=name, compact=True)


def tags_of(query: Mapping[str, str]) -> list[str]:
    return [tag for tag in query.get("tags", "").split(",") if tag]
