"""The zones of instance v1 (api.md 1). No call lists them; one that is missing here is still looked at where
the ledger has, or had, something in it.
"""

from typing import Final

from inventiv_operator.domain.ids import Zone

ZONES: Final = tuple(
    Zone(name)
    for name in (
        "fr-par-1",
        "fr-par-2",
        "fr-par-3",
        "it-mil-1",
        "nl-ams-1",
        "nl-ams-2",
        "nl-ams-3",
        "pl-waw-1",
        "pl-waw-2",
        "pl-waw-3",
    )
)
