"""vLLM's offline inference by hand: the prompts of a batch's input, and an answer for each.

python generate.py MODEL in.jsonl > out.jsonl
"""

import json
import sys
from pathlib import Path

from vllm import LLM, SamplingParams


def main(model: str, source: str) -> None:
    """Answers all of them, as an InferenceBatch does with /v1/completions."""
    requests = [json.loads(line) for line in Path(source).read_text().splitlines()]
    sampling = [
        SamplingParams(temperature=request["body"]["temperature"], max_tokens=request["body"]["max_tokens"])
        for request in requests
    ]
    prompts = [request["body"]["prompt"] for request in requests]
    outputs = LLM(model=model, enforce_eager=True).generate(prompts, sampling)
    for request, output in zip(requests, outputs, strict=True):
        print(json.dumps({"custom_id": request["custom_id"], "text": output.outputs[0].text}))


if __name__ == "__main__":
    main(*sys.argv[1:])
