"""Quantities as Kubernetes reads them, exactly: 8, 0.5, 500m, 20Gi, 1e3. Pure; imports nothing heavy.

See https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity and `ParseQuantity` in
k8s.io/apimachinery/pkg/api/resource/quantity.go.
"""

import re
from fractions import Fraction
from functools import lru_cache

_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,2})|([KMGTPE]i|[numkMGTPE])?)")
_CHARACTERS = 64
"""Others write them: nobody needs more."""
_THOUSANDS = {"n": -3, "u": -2, "m": -1, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_BINARY = "KMGTPE"
_NANO = 10**9
_MOST_BINARY = (1 << 63) - 1


@lru_cache(maxsize=1024)
def exact(text: str) -> Fraction:
    """The number that a quantity stands for. Raises ValueError, with a sentence, for what is none.

    As the API server does, parts of a billionth are rounded up, and binary ones are capped at 2**63 - 1. Other than
    there, a unit alone is none, nor is one of more than 64 characters or with more than two digits of an exponent.
    """
    found = _FORM.fullmatch(text) if len(text) <= _CHARACTERS else None
    if found is None:
        raise ValueError(f"{text[:_CHARACTERS]!r} is not a quantity like 8, 0.5, 500m or 20Gi")
    digits, exponent, unit = found.groups()
    if unit and unit.endswith("i"):
        scale = Fraction(1024 ** (1 + _BINARY.index(unit[0])))
    else:
        scale = Fraction(10) ** (int(exponent) if exponent else 3 * _THOUSANDS.get(unit, 0))
    value = Fraction(digits) * scale
    up = Fraction(-(-abs(value) * _NANO // 1), _NANO)
    size = min(up, Fraction(_MOST_BINARY)) if unit and unit.endswith("i") else up
    return size if value >= 0 else -size
