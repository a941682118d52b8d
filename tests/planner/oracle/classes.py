"""Runs in vLLM's own environment: prints which architectures it cannot split into pipeline stages (`stages`), and of
which it serves no LoRA adapters (`adapters`), as it asks their classes itself. One JSON object; takes about 20 s.

Of a class that cannot be imported here nothing is said, nor of one that stands for another on the CPU.
"""

import json
import os
import sys

os.environ.update(
    HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", VLLM_LOGGING_LEVEL="ERROR", VLLM_NO_USAGE_STATS="1"
)

import patches  # type: ignore[import-not-found]  # beside this script
from vllm.model_executor.models import registry
from vllm.model_executor.models.interfaces import supports_lora, supports_pp

_ASKED = {"stages": supports_pp, "adapters": supports_lora}
_OF_THE_CPU = {"cpu", "vl_stub"}


def main() -> None:
    """Print both lists."""
    answers, sys.stdout = sys.stdout, sys.stderr
    patches.packages()
    without: dict[str, list[str]] = {name: [] for name in _ASKED}
    for name, model in registry.ModelRegistry.models.items():
        if name in registry._SPECULATIVE_DECODING_MODELS:
            continue
        try:
            found = model.load_model_cls()
        except Exception as error:  # some want what only a GPU has
            print(f"{name}: {error}"[:200], file=sys.stderr)
            continue
        if not _OF_THE_CPU & {*found.__module__.split(".")}:
            for kind, can in _ASKED.items():
                without[kind] += [] if can(found) else [name]
    print(json.dumps({kind: sorted(names) for kind, names in without.items()}), file=answers)


if __name__ == "__main__":
    main()
