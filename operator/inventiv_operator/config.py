"""The operator's own configuration: environment variables with the prefix `INVENTIV_`, read once.

Nothing about a tenant is here, and nothing else is read from the environment (T3). A wrong value ends in one
line that names the variable, what is expected and, unless it may hold a secret, what was found.
"""

import ipaddress
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from inventiv_operator.store.retention import LEAST_AUDIT_DAYS, LEAST_TOMBSTONE_DAYS

PREFIX: Final = "INVENTIV_"
PUBLIC_API_URL: Final = "https://api.scaleway.com"
_PUBLIC_SETTLE_S: Final = 60.0  # a create was seen to take 28 s, a terminate 123 s (api.md)
_PUBLIC_ORPHAN_GRACE_S: Final = 900.0
_MAY_HOLD_A_SECRET: Final = frozenset(
    {"database_url", "migration_database_url", "https_proxy_url", "scaleway_api_url"}
)


class ConfigError(Exception):
    """The configuration cannot be used; the text is for people and holds no secret."""


def _database_url(value: SecretStr) -> SecretStr:
    """A libpq connection string. The text of libpq's own complaint may quote the password."""
    text = value.get_secret_value()
    try:
        ports = str(conninfo_to_dict(text).get("port") or "5432")
    except (psycopg.Error, UnicodeError):
        ports = ""
    if not ports or not all(port.isdigit() and 0 < int(port) < 2**16 for port in ports.split(",")):
        raise ValueError(
            "expected a PostgreSQL connection string such as postgresql://user:password@host:5432/database"
        ) from None
    return value


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    try:
        is_fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine or parts.username or parts.query or parts.fragment:
        raise ValueError("expected an http or https URL without user, query and fragment")
    return text.rstrip("/")


def _proxy_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    try:
        is_fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine:
        raise ValueError("expected a proxy URL such as http://proxy.example:3128")
    return value


def _split(value: object) -> object:
    """`a, b,c` as three; anything that is no text is left to the type."""
    return (
        tuple(part for part in value.replace(",", " ").split() if part) if isinstance(value, str) else value
    )


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)]
_DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
_Interval = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class OperatorSettings(BaseSettings):
    """Every variable of the contract (custom-resources.md, Configuration of the operator).

    Required ones default to an empty value here, because which are required depends on the command:
    `load_settings` says so.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    database_url: _DatabaseUrl = SecretStr("")
    migration_database_url: _DatabaseUrl = SecretStr("")
    operator_role: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "inventiv_operator"
    keyring_file: Path = Path()
    scaleway_api_url: Annotated[str, AfterValidator(_http_url)] = PUBLIC_API_URL
    https_proxy_url: Annotated[SecretStr, AfterValidator(_proxy_url)] | None = None
    ca_file: FilePath | None = None
    seed_dir: Path | None = None  # may be mounted later: read when it is needed, a warning meanwhile
    probe_cidrs: _Networks = ()
    probe_allow_cidrs: _Networks = ()
    settle_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 120.0
    provider_timeout_s: Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)] = 30.0
    shards: Annotated[int, Field(ge=1, le=64)] = 1
    audit_retention_days: Annotated[int, Field(ge=LEAST_AUDIT_DAYS, le=36_500)] = 400
    tombstone_retention_days: Annotated[int, Field(ge=LEAST_TOMBSTONE_DAYS, le=36_500)] = 90
    prices_file: FilePath | None = None
    watchdog_interval_s: _Interval = 60.0
    terminator_interval_s: _Interval = 30.0
    volume_cleanup_interval_s: _Interval = 300.0
    health_check_interval_s: _Interval = 10.0
    full_reconciliation_interval_s: _Interval = 900.0
    catalog_interval_s: _Interval = 3600.0
    orphan_grace_s: Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)] = 3600.0
    lost_retention_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0  # 0: for ever
    http_port: Annotated[int, Field(ge=0, le=65_535)] = 8080  # 0: any free one
    log_format: Annotated[Literal["json", "text"], BeforeValidator(_lower)] = "json"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"

    @property
    def is_public_api(self) -> bool:
        """Whether servers made through this API cost money."""
        host = urlsplit(self.scaleway_api_url).hostname or ""
        return host == "scaleway.com" or host.endswith(".scaleway.com")

    @model_validator(mode="after")
    def _is_safe_on_the_public_api(self) -> "OperatorSettings":
        if not self.is_public_api:
            return self
        for name, least in (("settle_s", _PUBLIC_SETTLE_S), ("orphan_grace_s", _PUBLIC_ORPHAN_GRACE_S)):
            value: float = getattr(self, name)
            if value < least:
                raise ValueError(
                    f"{_variable(name)}={value:g} is too short for the public API: at least {least:g} seconds"
                )
        return self


WITHOUT_EFFECT: Final = frozenset(
    {
        "shards",
        "volume_cleanup_interval_s",
        "health_check_interval_s",
        "full_reconciliation_interval_s",
        "catalog_interval_s",
        "orphan_grace_s",
        "lost_retention_s",
    }
)
"""Settings of the contract whose behaviour does not exist yet; a line here goes when it does."""


def given_without_effect(settings: OperatorSettings) -> tuple[str, ...]:
    """Variables that ask for something that this release does not do: not to be passed over in silence."""
    fields = OperatorSettings.model_fields
    return tuple(
        _variable(name)
        for name in fields
        if name in WITHOUT_EFFECT & settings.model_fields_set
        and getattr(settings, name) != fields[name].default
    )


RUN_REQUIRES: Final = ("DATABASE_URL", "KEYRING_FILE")
MIGRATE_REQUIRES: Final = ("MIGRATION_DATABASE_URL",)


def load_settings(
    *, required: Collection[str] = RUN_REQUIRES, overrides: Mapping[str, Any] | None = None
) -> OperatorSettings:
    """Read the environment; `overrides` (from flags, by field name) win over it.

    `required` names the variables, without the prefix, that this command cannot do without.

    Raises:
        ConfigError: one line that names every variable that is missing or wrong.
    """
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        settings = OperatorSettings(**given)
    except ValidationError as error:
        raise ConfigError("; ".join(_complaints(error, given))) from None  # the cause would print the input
    missing = [name for name in required if name.lower() not in settings.model_fields_set]
    if missing:
        raise ConfigError("; ".join(f"{_variable(name)} is required and not set" for name in missing))
    return settings


def _complaints(error: ValidationError, given: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for detail in error.errors(include_input=False, include_context=False, include_url=False):
        message = detail["msg"].removeprefix("Value error, ")
        name = str(detail["loc"][0]) if detail["loc"] else ""
        line = f"{_variable(name)}: {message}" if name else message
        found = given.get(name, _found(name)) if name else None
        if found is not None and name not in _MAY_HOLD_A_SECRET:
            line = f"{line}; found {str(found)[:80]!r}"
        if line not in lines:
            lines.append(line)
    return lines


def _found(name: str) -> str | None:
    """What the environment says; variables are matched without regard to case."""
    wanted = _variable(name)
    return next((value for key, value in os.environ.items() if key.upper() == wanted), None)


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"
