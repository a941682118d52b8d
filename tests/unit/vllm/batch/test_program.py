"""The program as pods have it: one file, with an engine stand-in as processes that are killed, and its pages."""

import ast
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from cluster.host import REPOSITORY
from support.batch_process import Pod, free_port, written
from support.batches import rows, where, write_input
from vllm_operator.vllm.batch import source
from vllm_operator.vllm.batch.faults import BAD_INPUT, STOPPED
from vllm_operator.vllm.batch.pages import Pages

STAND_IN = REPOSITORY / "tests" / "support" / "batch_engine.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(REPOSITORY / part) for part in ("tests", "operator"))}


def test_the_program_is_one_file_whose_names_are_unique() -> None:
    names = [
        name
        for node in ast.parse(source()).body
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else [leaf.id for target in node.targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)]
            if isinstance(node, ast.Assign)
            else []
        )
    ]
    assert [name for name, times in Counter(names).items() if times > 1] == []
    assert "from ." not in source()


def test_the_program_needs_python_3_10_and_no_package_but_vllms() -> None:
    tree = ast.parse(source(), feature_version=(3, 10))
    plain = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    parts = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported = {name.split(".")[0] for name in [*plain, *parts]}
    of_vllm = {"transformers", "prometheus_client", "pydantic", "starlette", "uvloop"}
    assert imported - sys.stdlib_module_names == {"vllm", *of_vllm}


def test_the_file_checks_and_merges_without_anything_of_ours(tmp_path: Path) -> None:
    output, command = tmp_path / "out", [sys.executable, "-I", str(written(tmp_path))]

    def told(name: str, data: Path, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, name, *where(data, output), *words], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    data = write_input(tmp_path / "in.jsonl", ["a", "b"])
    status, text = told("check", data)
    assert (status, json.loads(text)["valid"]) == (0, 2)
    status, text = told("merge", data, "--count=1")
    assert (status, json.loads(text)["unanswered"]) == (0, 2)
    status, text = told("check", tmp_path / "none")
    assert status == BAD_INPUT
    assert text.startswith("vllm-batch: there is no input at ")


def test_processes_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    count, requests, random = 2, 400, Random(7)
    data = write_input(tmp_path / "in.jsonl", (f"p{number}" for number in range(requests)))

    def start(index: int) -> Pod:
        port = free_port()
        share = [f"--index={index}", f"--count={count}", f"--port={port}"]
        command = [sys.executable, str(STAND_IN), "run", *where(data, tmp_path / "out"), *share, "--", "0.1"]
        return Pod(command, port, tmp_path / f"log-{index}", ENVIRONMENT)

    for _ in range(3):
        pods = [start(index) for index in range(count)]
        for pod in pods:
            assert pod.wait_until(time.monotonic() + 20, ready=True), (tmp_path / "log-0").read_text()
        time.sleep(random.uniform(0.05, 0.2))
        for pod in pods:
            assert pod.ended() is None
            pod.kill()
    for pod in [start(index) for index in range(count)]:
        assert not pod.wait_until(time.monotonic() + 60)
        assert pod.ended() == 0
    command = [sys.executable, str(STAND_IN), "merge", *where(data, tmp_path / "out"), f"--count={count}"]
    told = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["done"] == requests
    assert Counter(row["custom_id"] for row in rows(tmp_path / "out" / "in.jsonl")) == Counter(
        f"r{number}" for number in range(requests)
    )


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    taken = []
    for count in (1_000, 6_000):
        data = write_input(tmp_path / f"{count}.jsonl", (f"prompt {number}" for number in range(count)))
        share = ["--index=0", "--count=1", "--port=0"]
        command = [sys.executable, str(STAND_IN), "run", *where(data, tmp_path / f"out-{count}"), *share]
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        taken.append(usage.ru_maxrss)
    assert taken[1] < 1.2 * taken[0]


def test_sigterm_before_the_engine_is_loaded_ends_it(tmp_path: Path) -> None:
    data = write_input(tmp_path / "in.jsonl", ["a"])
    program = tmp_path / "slow.py"
    program.write_text(
        "import sys, time\n"
        "from contextlib import asynccontextmanager\n"
        "from vllm_operator.vllm.batch.command import main\n"
        "@asynccontextmanager\n"
        "async def slow(_):\n"
        "    print('loading', flush=True)\n"
        "    time.sleep(60)\n"
        "    yield None\n"
        "sys.exit(main(open_engine=slow))\n"
    )
    words = ["run", *where(data, tmp_path / "out"), "--index=0", "--count=1", "--port=0"]
    command = [sys.executable, str(program), *words]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "loading\n"
        process.terminate()
        assert process.wait(10) == STOPPED


@pytest.fixture
def pages() -> "Pages":
    """A pod's pages before the engine is loaded."""
    counts = {"index": 0, "total": 5, "done": 2, "failed": 1, "promptTokens": 7, "outputTokens": 9, "inFlight": 2}
    return Pages(0, lambda: {**counts, "seconds": 1.0})


def read(pages: Pages, path: str) -> tuple[int, str]:
    """Status and text of a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{pages.port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_pages_of_a_pod(pages: Pages) -> None:
    try:
        assert read(pages, "/health")[0] == 503
        pages.metrics = lambda: b"vllm:steps 1\n"
        assert read(pages, "/health")[0] == 200
        assert json.loads(read(pages, "/-/progress")[1])["done"] == 2
        assert read(pages, "/v1/completions")[0] == 404
        text = read(pages, "/metrics")[1]
        assert 'vllm_batch_requests_total{outcome="answered"} 2\n' in text
        assert 'vllm_batch_requests_total{outcome="failed"} 1\n' in text
        assert 'vllm_batch_tokens_total{kind="output"} 9\n' in text
        assert text.endswith("vllm_batch_requests_in_flight 2\nvllm:steps 1\n")
        assert len(re.findall("# TYPE vllm_batch_requests_total counter", text)) == 1
    finally:
        pages.close()
