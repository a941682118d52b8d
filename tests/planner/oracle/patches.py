"""What keeps vLLM's model classes from being built without a GPU and without weights, taken out of their way.

Each patch belongs to the pinned vLLM: look at all of them when it is bumped. They must not touch a parameter's shape.
Where they make the oracle differ from a GPU engine is written in `__main__.py`.
"""

import importlib
import importlib.abc
import inspect
import pkgutil
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

import torch
import torch.distributed as dist
import torch.fx.experimental._config as fx

_METHODS = ("modelopt", "fp8", "compressed_tensors.compressed_tensors", "auto_awq", "auto_gptq", "mxfp4", "quark.quark",
            "moe_wna16", "torchao", "inc", "fp_quant", "online.fp8")  # fmt: skip
_SCHEMES = "vllm.model_executor.layers.quantization.compressed_tensors.schemes"


class _Kernel:
    """Stands for a kernel that only a GPU has: it takes anything, and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None

    @classmethod
    def get_min_capability(cls) -> int:
        return 0

    @classmethod
    def can_implement(cls, _: Any) -> tuple[bool, None]:
        return True, None


def _kernel(*_: Any, **__: Any) -> _Kernel:
    return _Kernel()


def _no_backend(*_: Any, **__: Any) -> tuple[None, None]:
    return None, None


_LINEAR = ("init_nvfp4_linear_kernel", "init_fp8_linear_kernel", "init_int8_linear_kernel", "init_mxfp8_linear_kernel",
           "init_mxfp4_linear_kernel", "init_wfp8_a16_linear_kernel")  # fmt: skip
_EXPERTS = ("select_unquantized_moe_backend", "select_nvfp4_moe_backend", "select_fp8_moe_backend",
            "select_wna16_moe_backend", "select_int8_moe_backend", "select_mxfp8_moe_backend")  # fmt: skip


def kernels() -> None:
    """Every choice of a kernel, wherever it was imported to. To be repeated after a model's module was imported."""
    changed: dict[str, Any] = {**dict.fromkeys(_LINEAR, _kernel), **dict.fromkeys(_EXPERTS, _no_backend)}
    changed["choose_mp_linear_kernel"] = lambda *_, **__: _Kernel
    for name, module in list(sys.modules.items()):
        if name.startswith("vllm.") and isinstance(module, types.ModuleType):
            for attribute, value in changed.items():
                if attribute in vars(module):
                    setattr(module, attribute, value)


class _Empty(type):
    """An empty class that has whatever is asked of it, as another one: members of enumerations, above all."""

    def __getattr__(cls, name: str) -> type:
        return _empty(name)


def _empty(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Empty(name, (), {})


class _Anything(types.ModuleType):
    """A module that has whatever is asked of it, as an empty class."""

    def __getattr__(self, name: str) -> type:
        return _empty(name)


_ABSENT = ("terratorch", "timm", "torchaudio", "torchvision")


class _Missing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands for what models of images and sound import to prepare them: nothing of it is run here."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in _ABSENT else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _Anything(spec.name)

    def exec_module(self, module: types.ModuleType) -> None: ...


def packages() -> None:
    """What is not installed here can be imported all the same. To be called once vLLM is imported."""
    sys.meta_path.append(_Missing())


def head() -> None:
    """A checkpoint with an output head of its own. To be called in the process of a job that has one."""
    module: Any = importlib.import_module("vllm.config.model")
    module.checkpoint_has_lm_head = lambda *_, **__: True


def apply() -> None:
    """All patches. Imports vLLM."""
    packages()
    fx.meta_nonzero_assume_all_nonzero = True
    torch.cpu._is_avx512_bf16_supported = lambda: False
    _groups()
    _blocks()
    for name in _METHODS:
        importlib.import_module(f"vllm.model_executor.layers.quantization.{name}")
    for found in pkgutil.iter_modules(importlib.import_module(_SCHEMES).__path__):
        importlib.import_module(f"{_SCHEMES}.{found.name}")
    _experts()
    _attention()
    _modules()
    registry: Any = importlib.import_module("vllm.model_executor.models.registry")
    registry._run_in_subprocess = lambda function: function()
    kernels()


def _groups() -> None:
    """A group of pretended ranks, which nobody is to talk to."""
    state: Any = importlib.import_module("vllm.distributed.parallel_state")
    original = state.GroupCoordinator.__init__

    def coordinator(self: Any, *arguments: Any, **options: Any) -> None:
        options.update(use_device_communicator=False, use_message_queue_broadcaster=False)
        original(self, *arguments, **options)

    state.GroupCoordinator.__init__ = coordinator
    state.in_the_same_node_as = lambda *_, **__: [True] * dist.get_world_size()
    new = dist.new_group

    def group(ranks: Any = None, *_: Any, **__: Any) -> Any:
        return new(ranks, backend="fake")

    dist.new_group = group


def _blocks() -> None:
    """The CPU's attention asks for blocks of 128 tokens, a GPU's for 16."""
    multiple = importlib.import_module("vllm.v1.attention.backend").MultipleOf
    for name, found in vars(importlib.import_module("vllm.v1.attention.backends.cpu_attn")).items():
        if isinstance(found, type) and name.startswith("CPU") and hasattr(found, "get_supported_kernel_block_sizes"):
            found.get_supported_kernel_block_sizes = staticmethod(lambda *_: [multiple(16)])
            if hasattr(found, "supports_block_size"):
                found.supports_block_size = classmethod(lambda _, size: size is None or size % 16 == 0)


def _experts() -> None:
    """MXFP4 as Marlin stores it; expert parallelism asks whether this is CUDA."""
    mxfp4: Any = importlib.import_module("vllm.model_executor.layers.quantization.mxfp4")
    modules = [module for name, module in sys.modules.items() if name.startswith("vllm.")]
    marlin = mxfp4.Mxfp4MoeBackend.MARLIN
    for module in modules:
        for name in ("select_mxfp4_moe_backend", "select_deepseek_v4_mxfp4_moe_backend"):
            if hasattr(module, name):
                setattr(module, name, lambda *_, **__: (marlin, None))
    mxfp4.select_mxfp4_moe_backend = lambda *_, **__: (mxfp4.Mxfp4MoeBackend.MARLIN, None)
    fused: Any = importlib.import_module("vllm.model_executor.layers.fused_moe.config")
    fused.current_platform = _Cuda(fused.current_platform)


class _Cuda:
    """The platform, but that it says it were CUDA."""

    def __init__(self, platform: Any) -> None:
        self._platform = platform

    def __getattr__(self, name: str) -> Any:
        return (lambda: True) if name in {"is_cuda", "is_cuda_alike"} else getattr(self._platform, name)


def _attention() -> None:
    """The CPU's attention stands for a GPU's, sparse attention for the plain one: parameters and specs are the same."""
    platform: Any = importlib.import_module("vllm.platforms.cpu").CpuPlatform
    choose = platform.get_attn_backend_cls.__func__

    def chosen(cls: Any, selected_backend: Any = None, attn_selector_config: Any = None, **more: Any) -> Any:
        selector = attn_selector_config._replace(use_sparse=False)
        return choose(cls, selected_backend, selector, **more)

    chosen_: Any = chosen
    platform.get_attn_backend_cls = classmethod(chosen_)
    latent = importlib.import_module("vllm.model_executor.layers.attention.mla_attention").MLACommonImpl
    initialize = latent.__init__
    known = set(inspect.signature(initialize).parameters)

    def implementation(self: Any, *arguments: Any, **options: Any) -> None:
        initialize(self, *arguments, **{name: value for name, value in options.items() if name in known})

    latent.__init__ = implementation


def _modules() -> None:
    """What looks at a value while a model is built: there are none on the meta device."""
    move = torch.nn.Module.to

    def to(self: Any, *arguments: Any, **options: Any) -> Any:
        if not any(parameter.is_meta for parameter in self.parameters()):
            return move(self, *arguments, **options)
        types_ = [value for value in (*arguments, *options.values()) if isinstance(value, torch.dtype)]
        return move(self, dtype=types_[0]) if types_ else self

    torch.nn.Module.to = to
    item = torch.Tensor.item
    torch.Tensor.item = lambda self: 0 if self.is_meta else item(self)
    activation = importlib.import_module("vllm.model_executor.layers.activation").XIELU
    original = activation.__init__

    def initialize(self: Any, *arguments: Any, **options: Any) -> None:
        with torch.device("cpu"):
            original(self, *arguments, **options)

    activation.__init__ = initialize
