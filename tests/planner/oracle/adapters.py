"""Runs in vLLM's own environment: what a model without storage sets aside for LoRA adapters, on one rank."""

from collections import Counter
from typing import Any

import torch
from vllm.config import set_current_vllm_config
from vllm.lora import model_manager
from vllm.lora.layers import base, base_linear, fused_moe, vocab_parallel_embedding
from vllm.model_executor.models import supports_lora

_META = torch.device("meta")


def _beside_experts(self: Any, layer: Any) -> None:
    """As FusedMoEWithLoRA makes itself, without a kernel."""
    torch.nn.Module.__init__(self)
    parallel = layer.moe_config.moe_parallel_config
    self.base_layer, self.moe_config, self._shared_experts = layer, layer.moe_config, layer._shared_experts
    self._ep_check()
    self.tp_size, self.tp_rank, self.device = parallel.tp_size, parallel.tp_rank, _META
    self._w13_slices, self.enable_moe_shared_loras = 2 if layer.moe_config.is_act_and_mul else 1, False


def set_aside(config: Any, model: torch.nn.Module) -> dict[str, int]:
    """Bytes beside experts, and beside everything else. Raises ValueError for a model that takes no adapters."""
    if not supports_lora(type(model)):
        raise ValueError(f"{type(model).__name__} takes no adapters")
    fused_moe.FusedMoEWithLoRA.__init__ = _beside_experts
    for kind in (base.BaseLayerWithLoRA, fused_moe.FusedMoEWithLoRA):
        kind.set_mapping = lambda *_: None
    for module in (base_linear, vocab_parallel_embedding):
        if hasattr(module, "_get_lora_device"):
            module._get_lora_device = lambda _: _META
    lora = config.lora_config
    lora.verify_with_model_config(config.model_config)
    with set_current_vllm_config(config), _META:
        manager = model_manager.LoRAModelManager(
            model, 16, 16, config.model_config.get_vocab_size(), lora, torch.device("cpu"), config
        )
    found: Counter[str] = Counter()
    for wrapper in manager.modules.values():
        part = "experts" if isinstance(wrapper, fused_moe.FusedMoEWithLoRA) else "others"
        for name, value in vars(wrapper).items():
            if name.endswith("_stacked") and not isinstance(value, list):  # a list has views of the others
                each = (value,) if isinstance(value, torch.Tensor) else value
                found[part] += sum(tensor.numel() * tensor.element_size() for tensor in each)
    return dict(found)
