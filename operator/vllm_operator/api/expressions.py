"""CEL expressions as the API server evaluates them, with what our CRDs and DeviceClasses use of Kubernetes' functions.

See https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries.
"""

import ipaddress
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

from .quantities import exact


def evaluate(expression: str, value: Any, name: str = "self") -> Any:
    """What an expression about a variable comes to. Raises ValueError where it fails, as without a field it names."""
    named = _as_named(value) if "__slash__" in expression and isinstance(value, Mapping) else value
    result = _compiled(expression, name).eval(data={name: named})
    if result.type() == cel.Type.ERROR:
        raise ValueError(str(result.plain_value()))
    return result.plain_value()


def _as_named(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its fields as an expression names them: a field like rdma/hca is none of CEL's."""
    return {key.replace(".", "__dot__").replace("/", "__slash__"): one for key, one in value.items()}


@cache
def _compiled(expression: str, name: str) -> Any:
    try:
        return _environment(name).compile(expression)
    except Exception as error:  # the library raises what it likes
        raise ValueError(str(error)) from error


@cache
def _environment(name: str) -> Any:
    text, truth = cel.Type.STRING, cel.Type.BOOL
    functions = [
        _declared("isQuantity", _is_quantity, truth, text),
        _declared("quantity", _quantity, text, text),
        _declared("compareTo", _compare, cel.Type.INT, text, text, member=True),
        _declared("isCIDR", _is_cidr, truth, text),
        _declared("cidr", _itself, text, text),
        _declared("containsCIDR", _contains, truth, text, text, member=True),
        _declared("prefixLength", _prefix, cel.Type.INT, text, member=True),
    ]
    return cel.NewEnv(variables={name: cel.Type.DYN}, extensions=[ext_strings.ExtStrings()], functions=functions)


def _declared(name: str, does: Callable[..., Any], returns: Any, *takes: Any, member: bool = False) -> Any:
    overload = cel.Overload(
        id=f"{name}_of_kubernetes", return_type=returns, parameters=list(takes), is_member=member, impl=does
    )
    return cel.FunctionDecl(name, [overload])


def _is_quantity(text: str) -> bool:
    try:
        exact(text)
    except ValueError:
        return False
    return True


def _quantity(text: str) -> str:
    """As a fraction: CEL's own numbers are not exact, and its whole ones too small."""
    return str(exact(text))


def _compare(left: str, right: str) -> int:
    one, other = Fraction(left), Fraction(right)
    return (one > other) - (one < other)


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _itself(network: str) -> str:
    return network


def _contains(outer: str, inner: str) -> bool:
    one, other = ipaddress.ip_network(outer, strict=False), ipaddress.ip_network(inner, strict=False)
    return one.version == other.version and other.subnet_of(one)  # type: ignore[arg-type]


def _prefix(network: str) -> int:
    return ipaddress.ip_network(network, strict=False).prefixlen
