"""Our programs that run in vLLM's image, as the one file that a pod template carries. Runs nothing itself."""

import base64
import gzip


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
