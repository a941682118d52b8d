"""A program that a pod template carries does what it did as it was written."""

import importlib.util
import subprocess
import sys
import traceback
from base64 import b64decode
from gzip import decompress
from pathlib import Path
from types import ModuleType

import pytest

from vllm_operator.vllm.carried import carried, middleware_text

SOURCE = middleware_text()
PROGRAM = '''"""What it is for."""

import sys
from pathlib import Path

BESIDE = Path(__file__).with_name("other")


class Thing:
    """A thing."""

    def fails(self) -> None:
        raise ValueError("ü")


if __name__ == "__main__":
    print(sys.argv[1:], __doc__)
'''


def imported(path: Path, name: str) -> ModuleType:
    """The module in that file, as vLLM imports it: by its name."""
    found = importlib.util.spec_from_file_location(name, path)
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the program as it is carried."""
    file = tmp_path / "program.py"
    file.write_text(carried(PROGRAM, "program.py"))
    return file


def test_it_runs_with_its_arguments(path: Path) -> None:
    ran = subprocess.run([sys.executable, "-I", path, "8000", "2"], capture_output=True, text=True, check=True)
    assert ran.stdout == "['8000', '2'] What it is for.\n"


def test_it_is_imported_with_its_own_names_and_folder(path: Path) -> None:
    module = imported(path, "program")
    assert module.__doc__ == "What it is for."
    assert module.Thing.__module__ == "program"
    assert path.with_name("other") == module.BESIDE


def test_a_traceback_has_the_lines_of_its_text(path: Path) -> None:
    with pytest.raises(ValueError, match="ü") as raised:
        imported(path, "program").Thing().fails()
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (last.filename, last.name) == (str(path), "fails")
    assert PROGRAM.splitlines()[(last.lineno or 0) - 1].strip() == 'raise ValueError("ü")'


def test_whoever_reads_a_pod_can_read_the_middleware(tmp_path: Path) -> None:
    file = carried(SOURCE, "vllm/middleware.py")
    (packed,) = (word for word in file.split('"') if word.startswith("H4s"))
    assert decompress(b64decode(packed)).decode() == SOURCE
    path = tmp_path / "vllm_operator_middleware.py"
    path.write_text(file)
    module = imported(path, "vllm_operator_middleware")
    assert tmp_path / "service-uid" == module.UID_FILE


def test_the_middleware_takes_half_of_its_text() -> None:
    assert len(carried(SOURCE, "vllm/middleware.py")) < len(SOURCE) * 0.51
