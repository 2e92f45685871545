"""INVENTIV_PRICES_FILE: read as documented, and what is wrong with it is one line."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from inventiv_operator.config import ConfigError
from inventiv_operator.domain.prices import BUILT_IN
from inventiv_operator.leaks import prices_file
from inventiv_operator.leaks.prices_file import read_prices

GOOD: dict[str, Any] = {
    "date": "2026-11-01",
    "source": "our contract",
    "eurPerHour": [
        {"zones": ["fr-par-*"], "blockGB": {"5000": 0.00013, "15000": "0.000177"}, "localGB": "0.00005"},
        {"zones": ["*"], "ipv4": "0.005", "ipv6": 0},
    ],
}


def written(folder: Path, content: object) -> Path:
    path = folder / "prices.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_without_a_file_the_built_in_prices_count() -> None:
    assert read_prices(None) is BUILT_IN


def test_a_file_takes_their_place_as_a_whole(tmp_path: Path) -> None:
    found = read_prices(written(tmp_path, GOOD))
    assert (found.dated, found.source) == (date(2026, 11, 1), "our contract")
    paris, everywhere = found.entries
    assert paris.block_gb == {5000: Decimal("0.00013"), 15_000: Decimal("0.000177")}
    assert (paris.local_gb, paris.ipv4) == (Decimal("0.00005"), None)
    assert (everywhere.zones, everywhere.ipv4, everywhere.ipv6) == (("*",), Decimal("0.005"), Decimal(0))


def test_the_example_of_the_module_is_one(tmp_path: Path) -> None:
    text = str(prices_file.__doc__)
    assert read_prices(written(tmp_path, text[text.index("{") : text.rindex("}") + 1])).entries


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param("{", "Invalid JSON", id="no-json"),
        pytest.param({**GOOD, "date": "soon"}, "date: ", id="no-date"),
        pytest.param({**GOOD, "currency": "USD"}, "currency: ", id="a-key-that-is-not-one"),
        pytest.param({"date": "2026-01-01", "eurPerHour": []}, "source: Field required", id="no-source"),
        pytest.param(
            {**GOOD, "eurPerHour": [{"zones": ["*"], "ipv4": "-1"}]}, "eurPerHour.0.ipv4: ", id="below-zero"
        ),
        pytest.param(
            {**GOOD, "eurPerHour": [{"zones": [], "ipv4": "1"}]}, "eurPerHour.0.zones: ", id="no-zones"
        ),
        pytest.param(
            {**GOOD, "eurPerHour": [{"zones": ["*"], "blockGB": {"fast": "1"}}]},
            "eurPerHour.0.blockGB.fast",
            id="iops-in-words",
        ),
        pytest.param(
            {**GOOD, "eurPerHour": [{"zones": ["*"], "ipv4": "NaN"}]}, "eurPerHour.0.ipv4: ", id="no-number"
        ),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(tmp_path: Path, content: object, complaint: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        read_prices(path)
    assert str(caught.value).startswith(f"INVENTIV_PRICES_FILE={path}: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_prices(tmp_path)
