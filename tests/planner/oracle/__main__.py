"""Asks vLLM's own classes what they allocate for every model of architectures.json, and writes the answers there.

    PYTHONPATH=tests:operator python -m planner.oracle [NAME...]

To be run when vLLM is bumped, and when a model is added (with its config and an empty "ranks"; where adapters are of
interest, with "adapters", a list of {"tensor", "arguments"}; where vLLM reads params.json, with "params"). It takes
about two seconds a row. The tests hold the planner against the file; they do not run this.

Where the oracle and an engine on a GPU differ, the GPU wins, and the planner follows it:
- MXFP4 experts are padded to Marlin's tiles here, to other ones on Hopper (`Storage.tiles`);
- Machete, on Hopper, keeps AWQ's zero points as 16-bit numbers (`Storage.wide_zeros`);
- sparse latent attention (DeepSeek V3.2, GLM-5) keeps 656 bytes of a token with an fp8 cache on Hopper, where
  FlashMLA has a format of its own; here, and on Blackwell, it keeps 576;
- no checkpoint is read here, and with one of which only transformers says that head and embedding are tied, vLLM keeps
  the head that it has (`Config.tied`): a row with "lmHead": true is one of these, and is built with its head;
- vLLM on the CPU takes blocks of 128 tokens unless it is told; here it is told 16.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.real_vllm.environment import interpreter

GOLDEN = Path(__file__).parent.with_name("architectures.json")
CACHE_BYTES = 40 << 30
BATCH_TOKENS = 8192
BLOCK = 16
STAGES = 3
"""Of a pipeline: the first, one in the middle, the last."""
KEPT = ("parameterBytes", "kvTokens", "maxModelLen", "error")

Content = dict[str, Any]


def main() -> None:
    """Ask for the models that are named, or all."""
    content: Content = json.loads(GOLDEN.read_text())
    names = sys.argv[1:] or sorted(content)
    jobs = [job for name in names for job in _jobs(name, content[name])]
    cases = [(name, case) for name in names for case in content[name].get("adapters", ())]
    jobs += [_with_adapters(name, content[name], case) for name, case in cases]
    staged = [(name, stage) for name in names for stage in range(STAGES)]
    parts = _answers([_of_stage(name, content[name], stage) for name, stage in staged])
    for name in names:
        found = [part.get("param_bytes") for (whose, _), part in zip(staged, parts, strict=True) if whose == name]
        content[name].pop("stages", None)
        if all(found):  # vLLM cannot split every model
            content[name]["stages"] = found
    answers = _answers(jobs)
    for job, answer in zip(jobs, answers[: len(jobs) - len(cases)], strict=False):
        content[job["name"]]["ranks"][str(job["tensor"])] = _row(answer)
        print(job["name"], job["tensor"], _row(answer))
    for (name, case), answer in zip(cases, answers[len(jobs) - len(cases) :], strict=True):
        case["bytes"] = answer.get("adapters") or _row(answer)
        print(name, case)
    GOLDEN.write_text(text_of(content))


def text_of(content: Content) -> str:
    """The file: sorted, one model a line."""
    lines = [f"{json.dumps(name)}: {json.dumps(content[name], sort_keys=True)}" for name in sorted(content)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _jobs(name: str, model: Content) -> list[Content]:
    arguments = {"block_size": BLOCK, "max_num_batched_tokens": BATCH_TOKENS, **model.get("arguments", {})}
    return [
        {
            "name": name, "config": model["config"], "hf_quant_config": model.get("hfQuantConfig"),
            "params": model.get("params"), "lm_head": model.get("lmHead", False),
            "tensor": int(tensor), "cacheBytes": CACHE_BYTES, "dtype": "bfloat16", "arguments": arguments,
        }
        for tensor in model["ranks"]
    ]  # fmt: skip


def _of_stage(name: str, model: Content, stage: int) -> Content:
    (job,) = _jobs(name, {**model, "ranks": [1]})
    return {**job, "pipeline": STAGES, "stage": stage}


def _with_adapters(name: str, model: Content, case: Content) -> Content:
    (job,) = _jobs(name, {**model, "ranks": [case["tensor"]]})
    return {**job, "arguments": {**job["arguments"], **case["arguments"], "enable_lora": True}}


def _answers(jobs: list[Content]) -> list[Content]:
    own = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    quiet = {
        "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "1",
        "TRANSFORMERS_VERBOSITY": "error", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29555",
        "VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "VLLM_PLUGINS": "",
    }  # fmt: skip
    ended = subprocess.run(
        [interpreter(), Path(__file__).with_name("ask.py")],
        input="".join(json.dumps(job) + "\n" for job in jobs),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**own, **quiet},
    )
    return [json.loads(line) for line in ended.stdout.splitlines()]


def _row(answer: Content) -> Content:
    names = {"parameterBytes": "param_bytes", "kvTokens": "kv_tokens", "maxModelLen": "max_model_len"}
    if "error" in answer:
        return {"error": answer["error"].splitlines()[-1][:200]}
    return {key: answer[name] for key, name in names.items() if answer.get(name) is not None}


if __name__ == "__main__":
    main()
