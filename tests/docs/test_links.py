"""README and docs/: every link leads somewhere, and what `make` is said to do exists."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted((REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *(REPOSITORY / "docs").rglob("*.md")))
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(_CODE.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


def test_every_page_can_be_reached_from_the_readme() -> None:
    found, to_read = set(), [REPOSITORY / "README.md"]
    while to_read:
        page = to_read.pop()
        found.add(page)
        for target in _LINK.findall(page.read_text()):
            place = (page.parent / target.partition("#")[0]).resolve()
            if place.suffix == ".md" and place.exists() and place not in found:
                to_read.append(place)
    decisions = REPOSITORY / "docs" / "decisions"  # the README leads to the folder
    assert {page for page in PAGES if decisions not in page.parents} <= found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    code = re.findall(r"^```\w*\n(.*?)^```$|`([^`\n]+)`", page.read_text(), re.MULTILINE | re.DOTALL)
    named = {
        name
        for pair in code
        for name in re.findall(r"^(?:KEEP=1 )?make ([a-z-]+)", "\n".join(pair), re.MULTILINE)
    }
    assert named <= targets


def test_decisions_are_numbered_once_each() -> None:
    pages = sorted((REPOSITORY / "docs" / "decisions").glob("0*.md"))
    assert len({page.name[:4] for page in pages}) == len(pages)
    for page in pages:
        assert page.read_text().startswith(f"# {int(page.name[:4])}. "), page.name
