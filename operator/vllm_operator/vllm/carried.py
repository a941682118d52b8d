"""Our programs that run in vLLM's image, as the one file that a pod template carries. Runs nothing itself."""

import ast
import base64
import gzip
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# In the order in which they import each other; names are unique over both.
_OF_MIDDLEWARE = ("hangs", "middleware")


@cache
def middleware_text() -> str:
    """The middleware as one file of plain Python."""
    return joined(Path(__file__).parent, _OF_MIDDLEWARE)


def joined(folder: Path, names: Iterable[str]) -> str:
    """These modules of a folder, one after the other, as one file of plain Python that imports none of them."""
    return "\n\n".join(_without_relative_imports((folder / f"{name}.py").read_text()) for name in names)


def _without_relative_imports(text: str) -> str:
    lines = text.splitlines(keepends=True)
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "".join(lines)


def carried(program: str, name: str) -> str:
    """A program as a Python file of half its size or less, which unpacks itself where it is run or imported.

    A traceback has the program's own line numbers. Whoever wants to read it does `base64 -d | gunzip`.
    """
    packed = base64.b64encode(gzip.compress(program.encode(), mtime=0)).decode()
    return (
        f"# {name} of vllm-operator, packed: base64 -d | gunzip gives its text.\n"
        "import base64, gzip\n"
        f'exec(compile(gzip.decompress(base64.b64decode("{packed}")), __file__, "exec"))\n'
    )
