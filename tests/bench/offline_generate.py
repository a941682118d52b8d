"""`LLM.generate` over the prompts of a batch's input, in vLLM's own environment. Prints JSON: seconds, tokens.

PYTHON offline_generate.py MODEL INPUT ANSWERS SEQUENCES
"""

import json
import sys
import time
from pathlib import Path

from vllm import LLM, SamplingParams


def main(model: str, source: str, answers: str, sequences: str) -> None:
    """Answers all of them."""
    bodies = [json.loads(line)["body"] for line in Path(source).read_text().splitlines()]
    llm = LLM(model=model, enforce_eager=True, max_model_len=1024, max_num_seqs=int(sequences))
    sampling = [
        SamplingParams(temperature=0, max_tokens=body["max_tokens"], ignore_eos=body["ignore_eos"]) for body in bodies
    ]
    began = time.monotonic()
    outputs = llm.generate([body["prompt"] for body in bodies], sampling)
    seconds = time.monotonic() - began
    texts = [output.outputs[0].text for output in outputs]
    Path(answers).write_text(json.dumps(texts))
    print(json.dumps({"seconds": seconds, "tokens": sum(len(one.outputs[0].token_ids) for one in outputs)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
