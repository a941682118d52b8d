"""Writes the planner's tables of defaults and of architectures anew, from what the pinned vLLM and transformers say.

    PYTHONPATH=tests:operator python -m planner.oracle.tables

To be run when vLLM is bumped. The model types are those that the table of defaults has already; a new one is added
there with an empty object first.
"""

import json
import os
import subprocess
from pathlib import Path
from textwrap import wrap
from typing import Any

from support.real_vllm.environment import interpreter
from vllm_operator.planner import defaults, served

# Sizes that a config.json must have, but for the parts of a larger model, which often say nothing.
_CORE = {
    "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings",
    "intermediate_size",
}  # fmt: skip
_PARTS = ("_text", "_vision", "_vision_model")
_WHOLE = {"whisper", "pixtral"}
# False is what the planner takes where nothing is said; these are asked for without that.
_TOLD = {"tie_word_embeddings", "use_sliding_window"}
# Transformers has these, and vLLM cannot run the states of their mixers through it.
_STATES = {"BambaForCausalLM"}
_TIED = "~"
# Of these, published configs say nothing.
_OWN: dict[str, dict[str, Any]] = {
    name: {"max_position_embeddings": 2048} for name in ("falcon", "nomic_bert", "opt")
}  # fmt: skip


def main() -> None:
    """Write both."""
    facts = told("defaults.py", *defaults.DEFAULTS)
    _write(defaults, "DEFAULTS: dict", _defaults(facts["defaults"]))
    _write(served, "_OWN = ", _served(facts, told("classes.py")))


def told(script: str, *arguments: str) -> dict[str, Any]:
    """What a script of this folder says when it runs with vLLM."""
    own = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    ended = subprocess.run(
        [interpreter(), Path(__file__).with_name(script), *arguments],
        capture_output=True,  # transformers warns of every class that it does not like
        text=True,
        check=True,
        env=own,
    )
    facts: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return facts


def _write(module: Any, start: str, text: str) -> None:
    """Put the text in the module's file, from a line on."""
    path = Path(module.__file__)
    path.write_text(path.read_text().partition(start)[0] + text)


def _kept(name: str, values: dict[str, Any]) -> dict[str, Any]:
    part = name.endswith(_PARTS) or name.startswith("gemma") or name in _WHOLE
    latent = "kv_lora_rank" in values
    return {
        key: value
        for key, value in sorted({**values, **_OWN.get(name, {})}.items())
        if (part or key not in _CORE or key in _OWN.get(name, {}))
        and (not key.startswith("_") or key == "_sliding_window_pattern")
        and (value is not False or key in _TOLD)
        and not (latent and key == "head_dim")
    }


def _defaults(found: dict[str, dict[str, Any]]) -> str:
    text = "DEFAULTS: dict[str, dict[str, Any]] = {\n"
    for name, values in sorted(found.items()):
        # A key and its value stay on one line.
        body = ", ".join(f'"{key}":{_TIED}{value!r}' for key, value in _kept(name, values).items())
        if len(body) < 90:
            text += f'    "{name}": {{{body.replace(_TIED, " ")}}},\n'
        else:
            lines = "\n".join(f"        {line}" for line in wrap(body, 108)).replace(_TIED, " ")
            text += f'    "{name}": {{\n{lines},\n    }},\n'
    return text + "}  # fmt: skip\n"


def _served(facts: dict[str, Any], classes: dict[str, list[str]]) -> str:
    def block(names: list[str]) -> str:
        lines = wrap(" ".join(names), 116, break_long_words=False, break_on_hyphens=False)
        return "\n".join(f"    {line}" for line in lines)

    others = sorted(set(facts["transformers"]) - set(facts["own"]) - _STATES)
    names = {
        "OWN": sorted(facts["own"]), "OF_TRANSFORMERS": others, "WITHOUT_STAGES": classes["noStages"],
        "WITHOUT_ADAPTERS": classes["noAdapters"], "WHOLE_TOWERS": classes["wholeTowers"],
    }  # fmt: skip
    return (
        "".join(f'_{name} = """\n{block(found)}\n"""\n' for name, found in names.items())
        + "SERVED = frozenset((_OWN + _OF_TRANSFORMERS).split())\n"
        "WITHOUT_STAGES = frozenset(_WITHOUT_STAGES.split())\n"
        '"""Those that vLLM cannot split into pipeline stages."""\n'
        "WITHOUT_ADAPTERS = frozenset(_WITHOUT_ADAPTERS.split())\n"
        '"""Those of which vLLM serves no LoRA adapters."""\n'
        "WHOLE_TOWERS = frozenset(_WHOLE_TOWERS.split())\n"
        '"""Those whose towers each rank may have whole (--mm-encoder-tp-mode=data)."""\n'
    )


if __name__ == "__main__":
    main()
