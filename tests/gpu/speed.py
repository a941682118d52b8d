"""How fast an engine answers: steps of real requests with random tokens, as they leave its process, without a server.

It measures and prints nothing; what a model of speed makes of it is not its business. Seconds are medians. Each
measurement uses fresh tokens, so that no prefix is found in the cache.
"""

import random
import statistics
import time
from itertools import pairwise
from typing import Any

PROMPT = 1000
PREFILL_TOKENS = 65536
LONG_PROMPT, LONG_REQUESTS = 8000, 16
BUDGET_SECONDS = 45.0


class _Clock:
    """Runs requests on an engine and keeps when each step ended."""

    def __init__(self, engine: Any, vocabulary: int) -> None:
        self._engine, self._vocabulary, self._count = engine, vocabulary, 0
        self._random = random.Random(20)

    def run(self, requests: int, prompt: int, answer: int) -> list[tuple[float, int]]:
        """Send `requests` at once, of `prompt` tokens each, for `answer` tokens each: (seconds since the start, answers
        that got a token in that step) per step."""
        from vllm import SamplingParams

        wanted = SamplingParams(max_tokens=answer, ignore_eos=True, temperature=1.0, detokenize=False)
        prompts = [[self._random.randrange(10, self._vocabulary - 10) for _ in range(prompt)] for _ in range(requests)]
        for tokens in prompts:
            self._count += 1
            self._engine.add_request(f"r{self._count}", {"prompt_token_ids": tokens}, wanted)
        began, steps, finished = time.perf_counter(), [], 0
        while finished < requests:
            # Past what the engine's owner does with each token, which would take longer than the engine's step.
            outputs = self._engine.engine_core.get_output().outputs
            if outputs:
                steps.append((time.perf_counter() - began, len(outputs)))
                finished += sum(output.finished for output in outputs)
        return steps


def _decode(clock: _Clock, requests: int, prompt: int, answer: int) -> dict[str, Any]:
    """Seconds of a step in which all requests got a token, and nothing was prefilled."""
    steps = clock.run(requests, prompt, answer)
    ends = [(now, later) for (now, first), (later, second) in pairwise(steps)
            if first == second == requests]  # fmt: skip
    seconds = statistics.median(later - now for now, later in ends[len(ends) // 4 :])
    context = prompt + answer // 2
    return {"requests": requests, "context": context, "stepSeconds": seconds, "tokensPerSecond": requests / seconds}


def measure(engine: Any, config: Any) -> dict[str, Any]:
    """Time to the first of one prompt's tokens, prefill tokens/s, and decoding of 1 to 256 requests at once, and of
    some with long contexts."""
    longest = config.model_config.max_model_len
    clock = _Clock(engine, config.model_config.get_vocab_size())
    prompt = min(PROMPT, longest // 2)
    tokens = config.cache_config.kv_cache_size_tokens
    began = time.monotonic()
    clock.run(4, prompt, 8)  # whatever is compiled or loaded at the first request
    firsts = [clock.run(1, prompt, 1)[-1][0] for _ in range(5)]
    long = min(4096, longest - 8)
    count = max(1, min(PREFILL_TOKENS, tokens) // long)
    prefill = clock.run(count, long, 1)[-1][0]
    found: dict[str, Any] = {
        "firstToken": {"promptTokens": prompt, "seconds": statistics.median(firsts)},
        "prefill": {"promptTokens": long, "requests": count, "tokensPerSecond": count * long / prefill},
        "decode": [],
    }
    most = min(config.scheduler_config.max_num_seqs, tokens // (prompt + 128))
    for requests in sorted({1, 8, 32, 128, min(256, most)}):
        if requests <= most and time.monotonic() - began < BUDGET_SECONDS:
            found["decode"].append(_decode(clock, requests, prompt, 64))
    # What the KV cache costs to read shows in long contexts.
    requests = min(LONG_REQUESTS, most, tokens // (LONG_PROMPT + 128))
    if longest >= LONG_PROMPT + 128 and requests > 1 and time.monotonic() - began < BUDGET_SECONDS:
        found["decode"].append(_decode(clock, requests, LONG_PROMPT, 64))
    return found
