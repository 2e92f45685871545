from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventiv_operator.store import envelope
from inventiv_operator.store.errors import DecryptionFailed

ORGANIZATION, PROVIDER = UUID(int=1), UUID(int=2)
KEY = b"k" * 32


def seal(text: str = "secret", **place: object) -> bytes:
    return envelope.seal_value(text, **{**_place(), **place})  # type: ignore[arg-type]


def open_(sealed: bytes, **place: object) -> str:
    return envelope.open_value(sealed, **{**_place(), **place})  # type: ignore[arg-type]


def _place() -> dict[str, object]:
    return {
        "by": KEY,
        "organization_id": ORGANIZATION,
        "provider_id": PROVIDER,
        "key": "SCALEWAY_SECRET_KEY",
        "version": 1,
    }


@given(text=st.text(max_size=200))
def test_what_is_sealed_opens_in_its_place(text: str) -> None:
    assert open_(seal(text)) == text


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"organization_id": uuid4()}, id="organization"),
        pytest.param({"provider_id": uuid4()}, id="provider"),
        pytest.param({"key": "SCALEWAY_SECRET_KEY_CANDIDATE"}, id="key"),
        pytest.param({"version": 2}, id="version"),
        pytest.param({"by": b"x" * 32}, id="data-key"),
    ],
)
def test_T7_a_value_opens_nowhere_else(elsewhere: dict[str, object]) -> None:
    with pytest.raises(DecryptionFailed):
        open_(seal(), **elsewhere)


def test_T7_no_flipped_bit_goes_unnoticed() -> None:
    sealed = seal()
    for position in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[position // 8] ^= 1 << (position % 8)
        with pytest.raises(DecryptionFailed):
            open_(bytes(flipped))


@given(cut=st.integers(min_value=0, max_value=34))
def test_a_value_cut_short_is_noticed(cut: int) -> None:
    with pytest.raises(DecryptionFailed):
        open_(seal()[:cut])


def test_the_same_value_is_never_sealed_alike() -> None:
    assert len({seal() for _ in range(100)}) == 100


def test_T7_a_data_key_opens_for_its_organization_and_key_id_alone() -> None:
    data_key = envelope.new_key()
    wrapped = envelope.wrap_data_key(data_key, by=KEY, organization_id=ORGANIZATION, key_id="k1")

    def unwrap(organization_id: UUID = ORGANIZATION, key_id: str = "k1", by: bytes = KEY) -> bytes:
        return envelope.unwrap_data_key(wrapped, by=by, organization_id=organization_id, key_id=key_id)

    assert unwrap() == data_key
    for elsewhere in ({"organization_id": uuid4()}, {"key_id": "k2"}, {"by": b"x" * 32}):
        with pytest.raises(DecryptionFailed):
            unwrap(**elsewhere)


def test_the_parts_of_a_place_cannot_be_shifted() -> None:
    """`a|bc` and `ab|c` are two places: each part is preceded by its length."""
    sealed = envelope.wrap_data_key(KEY, by=KEY, organization_id=ORGANIZATION, key_id="1")
    shifted = envelope._bound_to(str(ORGANIZATION) + "1", "")
    with pytest.raises(DecryptionFailed):
        envelope._open(KEY, sealed, shifted)
