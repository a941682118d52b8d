"""Runs in vLLM's own environment: prints which architectures it cannot split into pipeline stages (`noStages`), of
which it serves no LoRA adapters (`noAdapters`), and whose towers each rank may have whole (`wholeTowers`), as it asks
their classes itself. One JSON object; takes about 20 s.

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
from vllm.model_executor.models.interfaces import (
    supports_lora,
    supports_multimodal_encoder_tp_data,
    supports_pp,
)

_ASKED = {
    "noStages": lambda found: not supports_pp(found),
    "noAdapters": lambda found: not supports_lora(found),
    "wholeTowers": supports_multimodal_encoder_tp_data,
}
_OF_THE_CPU = {"cpu", "vl_stub"}


def main() -> None:
    """Print the lists."""
    answers, sys.stdout = sys.stdout, sys.stderr
    patches.packages()
    names: dict[str, list[str]] = {kind: [] for kind in _ASKED}
    for name, model in registry.ModelRegistry.models.items():
        if name in registry._SPECULATIVE_DECODING_MODELS:
            continue
        try:
            found = model.load_model_cls()
        except Exception as error:  # some want what only a GPU has
            print(f"{name}: {error}"[:200], file=sys.stderr)
            continue
        if not _OF_THE_CPU & {*found.__module__.split(".")}:
            for kind, is_so in _ASKED.items():
                names[kind] += [name] if is_so(found) else []
    print(json.dumps({kind: sorted(found) for kind, found in names.items()}), file=answers)


if __name__ == "__main__":
    main()
