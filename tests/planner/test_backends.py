"""Which types of the KV cache are refused for which attention on which GPU: as vLLM's backends have it."""

import ast
import json
from collections.abc import Iterator
from functools import total_ordering
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from planner.models import (
    COMPRESSED,
    DEEPSEEK_LITE,
    FP8,
    GPT_OSS_20B,
    LLAMA_8B,
    QWEN3_NEXT,
    Content,
    gpu_of,
    quantized,
    spec_of,
)
from support.real_vllm.source import code_of, packages, words_of
from vllm_operator.api.reasons import Reason
from vllm_operator.api.vocabulary import KvCacheDtype
from vllm_operator.planner.architectures import model_of
from vllm_operator.planner.backends import BACKENDS, Backend, Kind
from vllm_operator.planner.plan import plan

MODELS = json.loads(Path(__file__).with_name("architectures.json").read_text())
SPARSE: Content = MODELS["default-DeepseekV32ForCausalLM"]["config"]
GEMMA_WITH_IMAGES: Content = MODELS["gemma-3-12b-it"]["config"]
GEMMA_4: Content = MODELS["gemma-4-26B-A4B"]["config"]
NVFP4: Content = {
    "quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_scheme": {"num_bits": 8, "type": "float"}
}  # fmt: skip
SOUND_ALONE = '--limit-mm-per-prompt={"image": 0, "video": 0}'
REFUSED = {Reason.KV_DTYPE_GPU, Reason.KV_DTYPE_MODEL, Reason.ATTENTION}
GPUS = {"T4": (7, 5), "A100-80GB": (8, 0), "A10": (8, 6), "L40S": (8, 9), "H100": (9, 0), "B200": (10, 0),
        "RTX-PRO-6000": (12, 0)}  # fmt: skip
ALL = {*GPUS.values()}
AMPERE, ADA = ALL - {(7, 5)}, {(8, 9), (9, 0), (10, 0), (12, 0)}
TURBO = ("turboquant_3bit_nc", "turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_k8v4")
# On which GPUs vLLM's own selection (platforms/cuda.py, `get_valid_backends`, asked with each capability), and then the
# implementation that it selects, takes a type. No other takes it.
SERVED: dict[Kind, dict[str, set[tuple[int, int]]]] = {
    Kind.COMMON: {
        "auto": ALL, "float16": ALL, "bfloat16": AMPERE, "fp8": AMPERE, "fp8_e4m3": AMPERE, "fp8_e5m2": AMPERE,
        "fp8_per_token_head": ADA, "int8_per_token_head": ALL, "int4_per_token_head": ALL, "nvfp4": AMPERE,
        "nvfp4_4over6": {(10, 0)}, **dict.fromkeys(TURBO, ALL),
    },
    Kind.LATENT: {"auto": ALL, "float16": ALL, "bfloat16": AMPERE, "fp8": ADA, "fp8_e4m3": ADA},
    Kind.SPARSE: {
        "auto": {(9, 0), (10, 0), (12, 0)}, "float16": {(9, 0), (10, 0)},
        # vLLM takes bfloat16 for auto with this model.
        "bfloat16": {(9, 0), (10, 0), (12, 0)}, "fp8": {(9, 0), (10, 0), (12, 0)},
        "fp8_e4m3": {(9, 0), (10, 0), (12, 0)}, "fp8_ds_mla": {(9, 0), (10, 0), (12, 0)}, "nvfp4_ds_mla": {(10, 0)},
    },
}  # fmt: skip
OF_KIND = {Kind.COMMON: LLAMA_8B, Kind.LATENT: DEEPSEEK_LITE, Kind.SPARSE: SPARSE}


def reason_of(config: Content, gpu: str, **fields: Any) -> tuple[Reason, str]:
    """The reason of a plan, and its words."""
    found = plan(spec_of(**{"maxModelLen": 1024, **fields}), model_of(config), gpu_of(gpu))
    return found.reason, found.message


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("kind", Kind)
def test_each_type_is_refused_where_no_backend_takes_it(kind: Kind, gpu: str) -> None:
    for dtype in get_args(KvCacheDtype):
        reason, message = reason_of(OF_KIND[kind], gpu, kvCache={"dtype": dtype})
        taken = GPUS[gpu] in SERVED[kind].get(dtype, set())
        assert (reason in REFUSED) is not taken, (dtype, message)


@pytest.mark.parametrize(
    ("config", "gpu", "fields", "words"),
    [
        (LLAMA_8B, "H100", {"kvCache": {"dtype": "nvfp4_4over6"}}, "needs a GPU of compute capability 10.0"),
        (DEEPSEEK_LITE, "H100", {"kvCache": {"dtype": "nvfp4"}}, "latent attention (MLA) takes no KV cache of nvfp4"),
        (SPARSE, "A100-80GB", {}, "sparse attention needs a GPU of compute capability 9.0 with"),
        (SPARSE, "A100-80GB", {"kvCache": {"dtype": "fp8"}}, "sparse attention needs a GPU"),
        (GPT_OSS_20B, "H100", {"kvCache": {"dtype": "nvfp4"}}, "10.0"),
        (GPT_OSS_20B, "A100-80GB", {"kvCache": {"dtype": "fp8"}}, "8.9"),
        ({**LLAMA_8B, "head_dim": 64}, "H100", {"kvCache": {"dtype": "nvfp4"}}, "10.0"),
        ({**LLAMA_8B, "head_dim": 80}, "B200", {"kvCache": {"dtype": "nvfp4"}}, "takes no KV cache of nvfp4"),
        ({**LLAMA_8B, "head_dim": 80}, "A100-80GB", {"kvCache": {"dtype": "fp8"}}, "8.9"),
        (GEMMA_WITH_IMAGES, "A100-80GB", {"kvCache": {"dtype": "fp8"}}, "8.9"),
        (GEMMA_WITH_IMAGES, "B200", {"kvCache": {"dtype": "nvfp4"}}, "takes no KV cache of nvfp4"),
        (GEMMA_WITH_IMAGES, "A100-80GB",
         {"kvCache": {"dtype": "fp8"}, "extraArgs": ['--limit-mm-per-prompt={"image": 4}']}, "8.9"),
        (GEMMA_4, "A100-80GB", {"kvCache": {"dtype": "fp8"}}, "8.9"),
        (quantized(GEMMA_4, NVFP4), "A100-80GB", {}, "8.9"),
        (GEMMA_4, "A100-80GB", {"kvCache": {"dtype": "fp8"}, "extraArgs": [SOUND_ALONE]}, "8.9"),
        (GEMMA_4, "L40S", {"kvCache": {"dtype": "nvfp4"}}, "takes no KV cache of nvfp4"),
        (GEMMA_4, "H100", {"kvCache": {"dtype": "nvfp4"}}, "takes no KV cache of nvfp4"),
        (LLAMA_8B, "H100", {"kvCache": {"dtype": "fp8"}, "tuning": {"attention": {"backend": "FLEX_ATTENTION"}}},
         "the backend FLEX_ATTENTION takes no KV cache of fp8"),
        (LLAMA_8B, "T4", {"extraArgs": ["--attention-backend=FLASH_ATTN"]}, "FLASH_ATTN needs a GPU"),
        (quantized(LLAMA_8B, FP8), "H100", {"kvCache": {"dtype": "fp8_e5m2"}}, "set kvCache.dtype to fp8"),
        (quantized(DEEPSEEK_LITE, {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "NVFP4"}),
         "H100", {}, "set kvCache.dtype to bfloat16"),
    ],
)  # fmt: skip
def test_what_no_backend_takes_is_refused_with_the_way_out(
    config: Content, gpu: str, fields: dict[str, Any], words: str
) -> None:
    reason, message = reason_of(config, gpu, **fields)
    assert reason in REFUSED, message
    assert words in message


@pytest.mark.parametrize(
    ("config", "gpu", "fields"),
    [
        (GEMMA_WITH_IMAGES, "A100-80GB", {"kvCache": {"dtype": "fp8"}, "extraArgs": ["--language-model-only"]}),
        (
            GEMMA_WITH_IMAGES,
            "A100-80GB",
            {"kvCache": {"dtype": "fp8"}, "extraArgs": ['--limit-mm-per-prompt={"image": 0}']},
        ),
        (GEMMA_WITH_IMAGES, "A100-80GB", {"kvCache": {"dtype": "fp8"}, "image": "vllm/vllm-openai:v0.11.2"}),
        (GEMMA_4, "A100-80GB", {"kvCache": {"dtype": "fp8"}, "extraArgs": ["--language-model-only"]}),
        (
            {**GEMMA_4, "text_config": {**GEMMA_4["text_config"], "use_bidirectional_attention": None}},
            "A100-80GB",
            {"kvCache": {"dtype": "fp8"}},
        ),
        (GEMMA_4, "L40S", {"kvCache": {"dtype": "fp8"}}),
        (quantized(LLAMA_8B, COMPRESSED), "H100", {"kvCache": {"dtype": "fp8_e5m2"}}),
        (QWEN3_NEXT, "H200", {"kvCache": {"dtype": "fp8"}}),
        (DEEPSEEK_LITE, "H100", {"kvCache": {"dtype": "nvfp4"}, "image": "vllm/vllm-openai:v0.40.0"}),
        (MODELS["MiMo-V2-Flash"]["config"], "H200", {"kvCache": {"dtype": "fp8"}}),
        (MODELS["default-MambaForCausalLM"]["config"], "H200", {"kvCache": {"dtype": "nvfp4"}}),
        (LLAMA_8B, "H100", {"kvCache": {"dtype": "fp8"}, "extraArgs": ["--attention-backend=HPC_ATTN"]}),
    ],
)
def test_what_may_be_taken_is_not_refused(config: Content, gpu: str, fields: dict[str, Any]) -> None:
    reason, message = reason_of(config, gpu, **fields)
    assert reason not in REFUSED, message


FP8_CACHE: Content = {"kv_cache_scheme": {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False}}
MODELOPT: Content = {"quant_method": "modelopt", "quant_algo": "FP8"}


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        (quantized(LLAMA_8B, {**COMPRESSED, **FP8_CACHE}), "fp8"),
        (quantized(DEEPSEEK_LITE, {**COMPRESSED, **FP8_CACHE}), "bfloat16"),
        (quantized(LLAMA_8B, {**FP8, **FP8_CACHE}), "bfloat16"),
        (quantized(LLAMA_8B, {**FP8, "kv_cache_quant_algo": "FP8"}), "bfloat16"),
        (quantized(LLAMA_8B, {**MODELOPT, **FP8_CACHE}), "fp8"),
        (quantized(DEEPSEEK_LITE, {**MODELOPT, **FP8_CACHE}), "fp8"),
        (quantized(DEEPSEEK_LITE, {**MODELOPT, "kv_cache_quant_algo": "FP8"}), "fp8"),
    ],
)
def test_the_cache_has_the_type_that_vllm_reads_of_the_checkpoint(config: Content, dtype: str) -> None:
    assert tokens_of(config, "H100") == tokens_of(config, "H100", kvCache={"dtype": dtype})
    other = {"fp8": "bfloat16", "bfloat16": "fp8"}[dtype]
    assert tokens_of(config, "H100") != tokens_of(config, "H100", kvCache={"dtype": other})


GLM_5: Content = quantized(MODELS["GLM-5.1"]["config"], {**FP8, "weight_block_size": [128, 128]})


def test_glm_5_has_a_cache_of_fp8_where_vllm_makes_it_so() -> None:
    eight = {"tensorParallelSize": 8}
    whole = tokens_of(GLM_5, "B200", kvCache={"dtype": "bfloat16"}, **eight)
    halved = tokens_of(GLM_5, "B200", kvCache={"dtype": "fp8"}, **eight)
    assert tokens_of(GLM_5, "B200", **eight) == halved > whole
    others = [tokens_of(GLM_5, "H200", **eight, **fields) for fields in ({}, {"kvCache": {"dtype": "bfloat16"}})]
    assert others[0] == others[1]
    older = {**eight, "image": "vllm/vllm-openai:v0.26.0"}
    assert tokens_of(GLM_5, "B200", **older) == tokens_of(GLM_5, "B200", kvCache={"dtype": "bfloat16"}, **older)


def tokens_of(config: Content, gpu: str, **fields: Any) -> int:
    """Tokens that the KV cache holds."""
    found = plan(spec_of(**{"maxModelLen": 1024, **fields}), model_of(config), gpu_of(gpu))
    assert found.capacity, found.message
    return found.capacity.kv_cache_tokens


# --- the table against vLLM's source

NAMES = {one.name: one for one in BACKENDS}
COMPOSED = {"TRITON_FLASH_ATTN", "TRITON_FLASHINFER"}
"""Of two that are in the table, for what is there as well."""
NOT_IN_THE_IMAGE = {"TOKENSPEED_MLA"}


def class_of(backend: str) -> tuple[str, ast.ClassDef]:
    """The file of a backend's class, and its syntax."""
    tree = ast.parse((packages() / "vllm/v1/attention/backends/registry.py").read_text())
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == backend
    }
    module, name = str(values[backend]).rsplit(".", 1)
    file = f"{module.replace('.', '/')}.py"
    body = ast.parse((packages() / file).read_text()).body
    return file, next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name)


def types_of(backend: str) -> set[str]:
    """The types that its class lists; those of the base class where it lists none."""
    for node in class_of(backend)[1].body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "supported_kv_cache_dtypes":
            return {*ast.literal_eval(node.value or ast.List([]))}
    return {"auto", "float16", "bfloat16"}


@total_ordering
class Capability(NamedTuple):
    """Stands for vLLM's DeviceCapability."""

    major: int
    minor: int = 0


def runs_on(backend: str, capability: tuple[int, int]) -> bool:
    """Whether its class takes a compute capability, by running what it says."""
    found: dict[str, Any] = {"DeviceCapability": Capability}
    for node in class_of(backend)[1].body:
        if isinstance(node, ast.FunctionDef) and node.name == "supports_compute_capability":
            node.decorator_list = []
            exec(compile(ast.Module([node], []), backend, "exec"), found)  # a comparison of numbers
            return bool(found[node.name](None, Capability(*capability)))
    return True


def capabilities(row: Backend) -> Iterator[tuple[int, int]]:
    """Those of the GPUs above that a row is for."""
    return (one for one in GPUS.values() if one[0] in row.majors and one >= row.least)


def test_the_table_has_the_backends_that_vllm_chooses_from() -> None:
    code = code_of("vllm/platforms/cuda.py").partition("def _get_backend_priorities")[2].partition("\ndef ")[0]
    chosen = {node.attr for node in ast.walk(ast.parse(f"def _get{code}")) if isinstance(node, ast.Attribute)}
    assert {name for name in chosen if name.isupper()} - COMPOSED - NOT_IN_THE_IMAGE == {*NAMES}


@pytest.mark.parametrize("backend", NAMES)
def test_its_types_are_those_of_the_class(backend: str) -> None:
    assert {dtype for row in BACKENDS if row.name == backend for dtype in row.dtypes} == types_of(backend)


@pytest.mark.parametrize("row", BACKENDS, ids=lambda row: row.name)
def test_the_class_runs_on_what_a_row_is_for(row: Backend) -> None:
    assert all(runs_on(row.name, capability) for capability in capabilities(row))
    assert {*row.dtypes} <= types_of(row.name)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("platforms/cuda.py", "No valid attention backend found for"),
        ("v1/attention/ops/flashmla.py", "FlashMLA Dense is only supported on Hopper devices."),
        ("v1/attention/backends/flash_attn.py", "return flash_attn_supports_kv_cache_dtype(kv_cache_dtype)"),
        ("v1/attention/backends/flashinfer.py", "return [64, 128, 256, 512]"),
        ("v1/attention/backends/flashinfer.py", "return kv_cache_dtype == 'nvfp4'"),
        ("v1/attention/backends/flashinfer.py", "fa2 prefill misreads an NVFP4 KV cache at head_size 64"),
        ("v1/attention/backends/flashinfer.py", "the sink prefill wrapper cannot read an NVFP4 KV cache"),
        ("v1/attention/backends/triton_attn.py", "FP8 KV cache is not supported by the Triton attention backend"),
        ("v1/attention/backends/mla/triton_mla.py", "FP8 KV cache is not supported by the Triton MLA backend"),
        ("v1/attention/backends/mla/flashmla_sparse.py", "FLASHMLA_SPARSE only supports the"),
        ("config/vllm.py", "nvfp4 KV cache is not supported with MLA"),
        ("model_executor/layers/attention/attention.py", "fp8_e5m2 kv-cache is not supported with fp8 checkpoints."),
        ("model_executor/models/config.py", "Using bfloat16 kv-cache for DeepSeekV3.2"),
        (
            "transformers_utils/model_arch_config_convertor.py",
            "('bagel', 'gemma3', 'molmo2', 'moondream3', 'paligemma')",
        ),
        (
            "transformers_utils/model_arch_config_convertor.py",
            "getattr(self.hf_text_config, 'use_bidirectional_attention', None) == 'vision'",
        ),
    ],
)
def test_what_narrows_a_row_still_stands_in_vllms_source(source: str, text: str) -> None:
    assert text in words_of(f"vllm/{source}") or text in code_of(f"vllm/{source}")
