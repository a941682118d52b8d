"""Where the operator's source names reasons and types of conditions, as its syntax tells: its modules are not run."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cluster.host import REPOSITORY
from vllm_operator.api.reasons import Reason

ROOT = REPOSITORY / "operator" / "vllm_operator"
# Modules by their path below the operator's package, as source.
Sources = Mapping[str, str]


class Mention(NamedTuple):
    """One place that names a reason, as Reason.X or under the planner's name for it."""

    module: str
    function: str
    """The function of the module that it is in; empty where it is in none."""
    line: int
    name: str
    """The member's, whether there is such a member or not."""

    def __str__(self) -> str:
        return f"{self.module}:{self.line} names Reason.{self.name}"


def sources() -> Sources:
    """The operator's modules as they are."""
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.rglob("*.py"))}


def mentions(modules: Sources) -> Iterator[Mention]:
    """All places that name a reason, outside the registry and the enumeration's own methods."""
    for module, source in modules.items():
        if module == "api/reasons.py":
            continue
        for outer in ast.parse(source).body:
            function = outer.name if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef) else ""
            for node in ast.walk(outer):
                match node:
                    case ast.Attribute(value=ast.Name(id="Reason" | "Rule"), attr=name) if name.isupper():
                        yield Mention(module, function, node.lineno, name)


def _named_in(*modules: str) -> frozenset[Reason]:
    return frozenset(Reason[found.name] for found in mentions({name: Path(ROOT, name).read_text() for name in modules}))


RULES = _named_in("planner/methods.py", "planner/refusals.py", "planner/splits.py")
"""What the planner knows vLLM to refuse before it loads a weight."""
