"""A quantity is read exactly, and as the API server reads it (compared with ParseQuantity of apimachinery 0.36)."""

from fractions import Fraction

import pytest

from vllm_operator.api.base import bytes_of
from vllm_operator.api.quantities import exact


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("8", 8), ("0.5", Fraction(1, 2)), ("500m", Fraction(1, 2)), (".5", Fraction(1, 2)), ("1.", 1), ("+1", 1)],
        *[("-1.5Gi", -3 << 29), ("0.1Gi", Fraction(1 << 30, 10)), ("16384Mi", 16 << 30), ("9Ei", (1 << 63) - 1)],
        *[("1e3", 1000), ("1E3", 1000), ("1e-3", Fraction(1, 1000)), ("1E", 10**18), ("2.3T", 23 * 10**11)],
        *[("1u", Fraction(1, 10**6)), ("1n", Fraction(1, 10**9)), ("0.1n", Fraction(1, 10**9)), ("3k", 3000)],
    ],
)
def test_a_quantity_is_the_number_that_it_is_to_the_api_server(text: str, value: Fraction) -> None:
    assert exact(text) == value


@pytest.mark.parametrize("text", ["", "x", "1Gb", "1K", "1mi", "Gi", "1 Gi", "1e", "1_0", "٣", "nan", "inf", "9" * 65])
def test_what_is_no_quantity_is_said_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^'.{0,64}' is not a quantity like 8, 0\.5, 500m or 20Gi$"):
        exact(text)


def test_bytes_are_not_lost_to_rounding() -> None:
    assert bytes_of("2.3T") == 2_300_000_000_000
    assert bytes_of("9007199254740993") == 9_007_199_254_740_993
