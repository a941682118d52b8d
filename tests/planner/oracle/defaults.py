"""Runs in vLLM's own environment: prints what transformers fills in where a config.json leaves a number out.

One JSON object: `defaults` has, for each model type, its whole numbers and truths that do not depend on other values
(whatever changes with the width, the heads or the depth is computed, and is left out); `own` and `transformers` have
the architectures that vLLM can serve. `tables.py` writes the planner's tables from it.
"""

import json
import os
import sys
from typing import Any

os.environ.update(
    HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", VLLM_LOGGING_LEVEL="ERROR", VLLM_NO_USAGE_STATS="1"
)

from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from vllm.model_executor.models import registry
from vllm.transformers_utils import config as vllm_config

# Says nothing about memory.
_NOISE = (
    "chunk_size", "dropout", "token", "output_", "return_dict", "use_cache", "is_encoder", "router_",
    "norm_topk", "seed", "logit", "rope_", "pretraining", "transformers", "eps", "residual_in", "_range",
    "scale", "mamba_kernels", "mambapy", "associative", "time_step_min", "rescale", "overlap", "topk_group",
    "n_group", "tokenizer", "_id", "deterministic", "sparse_pred", "prune", "problem", "gradient", "fused",
    "ep_", "index_topk",
)  # fmt: skip
_GENERATE = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "ForSequenceClassification")
_KEPT = ("rope_head_dim", "qk_rope", "n_groups")
CHANGES = ({"hidden_size": 7680}, {"num_attention_heads": 64}, {"num_attention_heads": 16}, {"num_hidden_layers": 12})


def facts(settings: dict[str, Any]) -> dict[str, Any]:
    """Whole numbers and truths that may matter."""
    return {
        key: value
        for key, value in settings.items()
        if isinstance(value, bool | int)
        and (any(part in key for part in _KEPT) or not any(part in key for part in _NOISE))
    }


def made(kind: Any, **change: Any) -> dict[str, Any]:
    """A configuration as a plain object."""
    content: dict[str, Any] = json.loads(kind(**change).to_json_string(use_diff=False))
    return content


def parts(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The configuration and those within it, by model type."""
    found = {str(content.get("model_type")): content}
    for value in content.values():
        if isinstance(value, dict) and value.get("model_type"):
            found.update(parts(value))
    return found


def of_kind(kind: Any) -> dict[str, dict[str, Any]]:
    """Defaults of a class of configurations, and of those within it."""
    base = {name: facts(part) for name, part in parts(made(kind)).items()}
    own = str(made(kind).get("model_type"))
    for change in CHANGES:
        try:
            other = facts(made(kind, **change))
        except Exception:  # a class that checks its values
            continue
        base[own] = {key: value for key, value in base[own].items() if key in change or other.get(key) == value}
    return base


def own_architectures() -> set[str]:
    """The names in vLLM's registry."""
    tables = [table for name, table in vars(registry).items() if name.endswith("_MODELS") and isinstance(table, dict)]
    return {name for table in tables for name, where in table.items() if isinstance(where, tuple)}


def classes() -> set[str]:
    """Transformers' classes that generate or classify, of which vLLM runs many in place of its own."""
    found: set[str] = set()
    for name, table in vars(modeling_auto).items():
        if name.endswith("_MAPPING_NAMES"):
            for one in table.values():
                found.update([one] if isinstance(one, str) else one)
    return {name for name in found if name.endswith(_GENERATE)}


def main() -> None:
    """Print them for the model types on the command line, or all; and which architectures there are."""
    found: dict[str, dict[str, Any]] = {}
    inner: dict[str, dict[str, Any]] = {}
    kinds = {name: CONFIG_MAPPING[name] for name in CONFIG_MAPPING}
    for name in vllm_config._CONFIG_REGISTRY:
        kinds[name] = vllm_config._CONFIG_REGISTRY[name]
    for name, kind in kinds.items():
        try:
            for part, values in of_kind(kind).items():
                (found if part == name else inner).setdefault(part, values)
        except Exception as error:  # some need what is not installed
            print(f"{name}: {error}"[:200], file=sys.stderr)
    found = {**inner, **found}
    wanted = sys.argv[1:] or sorted(found)
    tables = {name: found[name] for name in wanted if name in found}
    print(json.dumps({"defaults": tables, "own": sorted(own_architectures()), "transformers": sorted(classes())}))


if __name__ == "__main__":
    main()
