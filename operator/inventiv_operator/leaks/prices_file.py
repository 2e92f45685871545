"""INVENTIV_PRICES_FILE: prices of storage and addresses, in place of those built in.

    {
      "date": "2026-09-26",
      "source": "our contract",
      "eurPerHour": [
        {"zones": ["fr-par-*"], "blockGB": {"5000": "0.000130", "15000": "0.000177"}, "localGB": "0.00005"},
        {"zones": ["*"], "ipv4": "0.005", "ipv6": "0"}
      ]
    }

For each thing the first entry counts that has its zone and its price.
"""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from inventiv_operator.config import ConfigError
from inventiv_operator.domain.prices import BUILT_IN, PriceList, ZonePrices

FILE_MAX_BYTES: Final = 1 << 20
_NAMED_MAX: Final = 3

_Price = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class _Entry(_Model):
    zones: Annotated[tuple[str, ...], Field(min_length=1)]
    block_gb: dict[int, _Price] = Field(default={}, alias="blockGB")
    local_gb: _Price | None = Field(default=None, alias="localGB")
    ipv4: _Price | None = None
    ipv6: _Price | None = None


class _File(_Model):
    date: date
    source: Annotated[str, Field(max_length=256)]
    eur_per_hour: tuple[_Entry, ...]


def read_prices(path: Path | None) -> PriceList:
    """Those built in when there is no file. What the file does not say is not known.

    Raises:
        ConfigError: one line that names the first things that are wrong.
    """
    if path is None:
        return BUILT_IN
    try:
        with path.open("rb") as file:
            found = _File.model_validate_json(file.read(FILE_MAX_BYTES))
    except OSError as error:
        raise ConfigError(f"INVENTIV_PRICES_FILE={path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ConfigError(f"INVENTIV_PRICES_FILE={path}: {_complaint(error)}") from None
    entries = tuple(
        ZonePrices(
            zones=entry.zones,
            block_gb=entry.block_gb,
            local_gb=entry.local_gb,
            ipv4=entry.ipv4,
            ipv6=entry.ipv6,
        )
        for entry in found.eur_per_hour
    )
    return PriceList(dated=found.date, source=found.source, entries=entries)


def _complaint(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False, include_context=False)
    lines = [f"{'.'.join(str(part) for part in one['loc']) or 'the file'}: {one['msg']}" for one in found]
    return "; ".join(lines[:_NAMED_MAX])
