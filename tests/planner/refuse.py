"""Runs in vLLM's own environment: asks it for the configuration of an engine, which is where most refusals are raised.

First it prints what it knows of each quantization: the least compute capability, the types that it works with, and for
those that it makes while loading whether of experts alone. Then each line of stdin is [config.json's content, arguments
of vLLM, contents of other files by name], and each line of the answer is what vLLM says against it, or null, and the
longest sequence that it takes, and the tokens of a batch.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vllm.config.quantization import _ONLINE_SHORTHANDS
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS, get_quantization_config
from vllm.usage.usage_lib import UsageContext


def act_dtypes(method: Any) -> Any:
    """Types of activations; a few classes forgot to make it a class method, and do not look at their instance."""
    try:
        return method.get_supported_act_dtypes()
    except TypeError:
        return method.get_supported_act_dtypes(None)


def methods() -> dict[str, dict[str, Any]]:
    """Each quantization's least capability and types; of those made while loading, whether of experts alone."""
    classes = {name: get_quantization_config(name) for name in QUANTIZATION_METHODS}
    return {
        name: {
            "capability": method.get_min_capability(),
            "dtypes": sorted(str(dtype).removeprefix("torch.") for dtype in act_dtypes(method)),
            "expertsOnly": _ONLINE_SHORTHANDS[name].linear is None if name in _ONLINE_SHORTHANDS else None,
        }
        for name, method in classes.items()
    }


def said(config: dict[str, Any], arguments: dict[str, Any], beside: dict[str, Any]) -> tuple[str | None, int, int]:
    """What vLLM says against an engine for this model with these arguments, None: nothing; and the tokens of its
    longest sequence, and of a batch."""
    with TemporaryDirectory() as folder:
        for name, content in {"config.json": config, **beside}.items():
            Path(folder, name).write_text(json.dumps(content))
        try:
            made = EngineArgs(model=folder, skip_tokenizer_init=True, **arguments).create_engine_config(
                UsageContext.OPENAI_API_SERVER
            )
        except Exception as error:  # vLLM raises what it likes
            return str(error), 0, 0
    return None, made.model_config.max_model_len, made.scheduler_config.max_num_batched_tokens


def main() -> None:
    """Answer until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(methods()), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(said(*json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
