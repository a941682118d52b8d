"""Let PyTorch's CUDA build from PyPI load without 2.8 GB of CUDA libraries, which a CPU never uses.

PyPI has no CPU build of PyTorch for Linux. Its CUDA build links CUDA's libraries, so they must be there
to load it, but on a CPU none of their code runs. For each one that is not installed this writes a stub: a
library with the functions that PyTorch asks for, each of which aborts when called.

    python3 stub_cuda.py SITE_PACKAGES        (needs binutils)
"""

import ctypes
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

GPU_ONLY = ("libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so")  # loaded on demand, and only on a GPU
SOURCE_START = '.section .note.GNU-stack,"",@progbits\n.text\ncalled:\nsub $8, %rsp\ncall abort@PLT\n'


def output_of(*command: str | Path) -> str:
    """What a command prints."""
    return subprocess.run([*map(str, command)], check=True, stdout=subprocess.PIPE, text=True).stdout


def symbols(kind: str, libraries: list[Path]) -> dict[str, str]:
    """The dynamic symbols that the libraries define or leave undefined, with the version of each or ""."""
    rows = (line.split() for line in output_of("nm", "-D", "-P", f"--{kind}-only", *libraries).splitlines())
    names = (row[0].partition("@") for row in rows if len(row) > 1 and row[1] not in "wv")
    return {name: version.lstrip("@") for name, _, version in names}


def missing_libraries(packages: Path, libraries: list[Path]) -> list[str]:
    """The names of the libraries that these link and that are neither installed nor the system's."""
    linked = set(re.findall(r"\(NEEDED\).*\[(.+)\]", output_of("readelf", "-d", *libraries)))
    installed = {path.name for folder in ("torch/lib", "nvidia") for path in packages.glob(f"{folder}/**/*.so*")}
    return sorted(name for name in linked - installed if not loads(name))


def loads(name: str) -> bool:
    """Whether the dynamic linker finds a library on its own."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def versions_of(libraries: list[Path]) -> dict[str, str]:
    """Which library each symbol version belongs to that these libraries ask for."""
    found: dict[str, str] = {}
    file = ""
    for word, value in re.findall(r"\b(File|Name): (\S+)", output_of("readelf", "-V", *libraries)):
        if word == "File":
            file = value
        else:
            found[value] = file
    return found


def write_stub(library: Path, functions: dict[str, str]) -> None:
    """Write a library of functions, given with their versions, that abort."""
    source_text = "".join(f".set {name}, called\n.globl {name}\n.type {name}, @function\n" for name in functions)
    members = defaultdict(list)
    for name, version in functions.items():
        members[version].append(f"{name};")
    script_text = "".join(
        f"{version} {{ global: {' '.join(names)} }};\n" for version, names in members.items() if version
    )
    with tempfile.TemporaryDirectory() as folder:
        source, compiled, script = Path(folder, "stub.s"), Path(folder, "stub.o"), Path(folder, "versions")
        source.write_text(SOURCE_START + source_text)
        script.write_text(script_text)
        output_of("as", "-o", compiled, source)
        options = [f"--version-script={script}"] if script_text else []
        output_of("ld", "-shared", "-soname", library.name, *options, "-o", library, compiled)
    print(f"{library.name}: a stub of {len(functions)} functions")


def main() -> None:
    """Stub what is missing, in the site-packages folder of the command line."""
    packages = Path(sys.argv[1])
    folder = packages / "torch" / "lib"
    for name in GPU_ONLY:
        (folder / name).unlink(missing_ok=True)
    libraries = sorted(folder.glob("*.so*"))
    missing = missing_libraries(packages, libraries)
    installed = [*libraries, *packages.glob("nvidia/**/*.so*")]
    unknown = symbols("undefined", libraries).items() - symbols("defined", installed).items()
    owners = versions_of(libraries)
    functions: dict[str, dict[str, str]] = {name: {} for name in missing}
    for name, version in sorted(unknown):
        # A symbol without a version may come from any library; those of Python come from the interpreter.
        owner = owners.get(version, "") if version else missing[0]
        if owner in functions and not name.startswith(("Py", "_Py")):
            functions[owner][name] = version
    for library, wanted in functions.items():
        write_stub(folder / library, wanted)


if __name__ == "__main__":
    main()
