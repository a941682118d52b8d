"""The program of a batch with the real vLLM on the CPU, without a cluster: its answers, and kills at random moments."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cluster.host import REPOSITORY
from support.batch_kills import Killing, finish, serve_words, write_requests
from support.batch_process import written
from support.batches import rows, where
from support.real_vllm.environment import interpreter
from support.real_vllm.tiny import QUIET, tiny_model

pytestmark = pytest.mark.slow
EXAMPLES = REPOSITORY / "examples" / "batch"
# vLLM 0.32 on the CPU: in a step with requests of an adapter, those of the model itself get the adapter's answer; and
# with LoRA in bfloat16 its attention dies of SIGILL on processors that have AMX.
LORA_ON_CPU = ("--max-num-seqs=1", "--dtype=float16")


def run(folder: Path, source: Path, *flags: str) -> dict[str, int]:
    """One pod, whose engine has these flags besides, and the merge; the totals."""
    share = ["--index=0", "--count=1", "--port=0", "--", *serve_words(32), "--served-model-name=tiny", *flags]
    command = [interpreter(), "-I", written(folder), "run", *where(source, folder / "out"), *share]
    subprocess.run([str(word) for word in command], check=True, env=QUIET)
    return finish(folder, source, 1)


def written_to(source: Path, asked: dict[str, tuple[str, Any]]) -> Path:
    """A file of requests, by their custom_id."""
    lines = [{"custom_id": name, "method": "POST", "url": url, "body": body} for name, (url, body) in asked.items()]
    source.write_text("".join(json.dumps(line) + os.linesep for line in lines))
    return source


def test_the_answers_are_those_of_llm_generate(tmp_path: Path) -> None:
    source = EXAMPLES / "in.jsonl"
    assert run(tmp_path, source)["failed"] == 0
    command = [interpreter(), EXAMPLES / "generate.py", tiny_model(), source]
    told = subprocess.run([str(word) for word in command], check=True, env=QUIET, stdout=subprocess.PIPE, text=True)
    offline = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    ours = [
        {"custom_id": row["custom_id"], "text": row["response"]["body"]["choices"][0]["text"]}
        for row in rows(tmp_path / "out" / "in.jsonl")
    ]
    assert ours == offline
    files = [source, tmp_path / "out" / "in.jsonl", tmp_path / "out" / "in.errors.jsonl"]
    shown = subprocess.run(
        ["python3", str(EXAMPLES / "answers.py"), *map(str, files)], check=True, stdout=subprocess.PIPE, text=True
    )
    assert shown.stdout.count("prompt-") == len(ours)


def test_chats_are_answered_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}
    asked = {
        "chat": ("/v1/chat/completions", chat),
        "negative": ("/v1/completions", {"prompt": "x", "max_tokens": -1}),
        "long": ("/v1/completions", {"prompt": [5] * 2000}),
        "other": ("/v1/completions", {"prompt": "x", "model": "gpt"}),
        "embedding": ("/v1/embeddings", {"input": "x"}),
    }
    assert run(tmp_path, written_to(tmp_path / "in.jsonl", asked))["done"] == 1
    (answer,) = rows(tmp_path / "out" / "in.jsonl")
    assert answer["response"]["body"]["choices"][0]["message"]["content"] == "The capital of France is Paris."
    statuses = {row["custom_id"]: row["response"]["status_code"] for row in rows(tmp_path / "out" / "in.errors.jsonl")}
    assert statuses == {"negative": 400, "long": 400, "other": 404, "embedding": 404}


def test_embeddings_and_scores(tmp_path: Path) -> None:
    question, other = "What is the capital of France?", "one two three"
    asked = {
        "one": ("/v1/embeddings", {"input": question}),
        "two": ("/v1/embeddings", {"input": [question, other]}),
        "score": ("/v1/score", {"text_1": question, "text_2": [question, other]}),
        "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": question}]}),
    }
    source = written_to(tmp_path / "in.jsonl", asked)
    assert run(tmp_path, source, "--runner=pooling", "--convert=embed")["done"] == 3
    found = {row["custom_id"]: row["response"]["body"]["data"] for row in rows(tmp_path / "out" / "in.jsonl")}
    assert found.keys() == {"one", "two", "score"}
    (one,), two = ([item["embedding"] for item in found[name]] for name in ("one", "two"))
    assert two[0] == pytest.approx(one, abs=1e-3)
    assert len(two[1]) == len(one)
    same, different = (item["score"] for item in found["score"])
    assert same == pytest.approx(1, abs=1e-3)
    assert different < same
    (failed,) = rows(tmp_path / "out" / "in.errors.jsonl")
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("chat", 404)


def test_a_request_may_name_an_adapter(tmp_path: Path) -> None:
    config = (tiny_model() / "config.json").read_text()
    script = (
        "import json, pathlib, sys; from gpu.random_model import write_adapter; "
        "write_adapter(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]))"
    )
    sources = os.pathsep.join(str(REPOSITORY / name) for name in ("tests", "operator"))
    subprocess.run(
        [interpreter(), "-c", script, tmp_path / "lora", config], check=True, env={**QUIET, "PYTHONPATH": sources}
    )
    body = {"prompt": "What is", "temperature": 0, "max_tokens": 8, "logprobs": 1}
    asked = {name: ("/v1/completions", {**body, "model": name}) for name in ("tiny", "extra", "none")}
    source = written_to(tmp_path / "in.jsonl", asked)
    flags = ("--enable-lora", "--max-lora-rank=16", "--lora-modules", f"extra={tmp_path}/lora", *LORA_ON_CPU)
    assert run(tmp_path, source, *flags)["done"] == 2
    answers = {row["custom_id"]: row["response"]["body"] for row in rows(tmp_path / "out" / "in.jsonl")}
    assert answers["extra"]["model"] == "extra"
    sure = {name: answer["choices"][0]["logprobs"]["token_logprobs"] for name, answer in answers.items()}
    assert sure["extra"] != pytest.approx(sure["tiny"], abs=1e-4)
    (failed,) = rows(tmp_path / "out" / "in.errors.jsonl")
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("none", 404)


def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    source = write_requests(tmp_path / "in.jsonl", 500)
    seed = int.from_bytes(os.urandom(4))
    left = Killing(interpreter(), tmp_path, source, print).run([2, 1], seed)
    assert left.statuses == [0, 0], f"seed {seed}"
    assert left.answered == Counter(f"r{number}" for number in range(500)), f"seed {seed}: {left.failed}"
