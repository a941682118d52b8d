"""Torch's caching allocator, as the planner follows it: c10/cuda/CUDACachingAllocator."""

from vllm_operator.planner.accelerators import MIB
from vllm_operator.planner.loading import left_over
from vllm_operator.planner.quantization import Scheme
from vllm_operator.planner.shapes import Layer, Linear, ModelShape, Split
from vllm_operator.planner.torch_memory import TorchMemory
from vllm_operator.planner.weights import Ranks


def test_small_tensors_share_what_others_take() -> None:
    memory = TorchMemory()
    assert memory.take(MIB) is None
    assert memory.reserved == 0


def test_a_segment_is_shared_until_it_is_full_and_larger_tensors_have_their_own() -> None:
    memory = TorchMemory()
    for _ in range(3):
        memory.take(6 * MIB)
    assert memory.reserved == 20 * MIB
    memory.take(6 * MIB)
    assert memory.reserved == 40 * MIB
    memory.take(15 * MIB)
    assert memory.reserved == 56 * MIB


def test_the_smallest_free_block_is_taken_and_divided() -> None:
    memory = TorchMemory()
    large, middle = memory.take(100 * MIB), memory.take(40 * MIB)
    memory.give(large, middle)
    memory.take(30 * MIB)
    memory.take(100 * MIB)
    assert memory.reserved == 140 * MIB
    memory.take(11 * MIB)  # 10 are left beside the 30
    assert memory.reserved == 152 * MIB


def test_a_tensor_in_a_large_block_keeps_it_from_the_next_large_one_and_from_cuda() -> None:
    memory = TorchMemory()
    memory.give(memory.take(100 * MIB))
    kept = memory.take(20 * MIB)
    memory.take(100 * MIB)
    assert memory.reserved == 200 * MIB
    memory.return_free()
    assert memory.reserved == 200 * MIB
    memory.give(kept)
    memory.return_free()
    assert memory.reserved == 100 * MIB


def test_what_is_free_beside_each_other_is_one_block() -> None:
    memory = TorchMemory()
    blocks = [memory.take(6 * MIB) for _ in range(3)]
    memory.give(blocks[0], blocks[2], blocks[1])
    memory.take(19 * MIB)
    assert memory.reserved == 20 * MIB
    memory.take(18 * MIB)
    assert memory.reserved == 38 * MIB


def test_undivided_blocks_are_given_whole_where_at_most_20_mib_are_too_much() -> None:
    memory = TorchMemory(undivided=20 * MIB)
    memory.give(memory.take(50 * MIB))
    block = memory.take(31 * MIB)
    assert block
    assert block.size == 50 * MIB
    memory.give(block)
    memory.take(30 * MIB)
    memory.take(2 * MIB)
    assert memory.reserved == 100 * MIB


def test_quantizing_while_loading_leaves_what_vllm_measured_for_phi_4() -> None:
    """15.19 GiB for a model whose matrices are 14,961 MiB, and 124 more by torch's steps and the positions."""
    shapes = {"self_attn.qkv_proj": (7680, 5120), "self_attn.o_proj": (5120, 5120),
              "mlp.gate_up_proj": (35840, 5120), "mlp.down_proj": (5120, 17920)}  # fmt: skip
    layer = Layer(tuple(Linear(name, rows, columns, Split.NONE) for name, (rows, columns) in shapes.items()), None)
    model = ModelShape(
        "Phi3ForCausalLM", (layer,) * 40, 5120, 100352, 40, 10, 128, 17920, "bfloat16", False, 16384, 16384, 16384, ""
    )
    left = left_over(model, Scheme("fp8", 8, fused_input="fp8"), Ranks(), range(40))
    assert abs(left / MIB - (15.19 * 1024 - 14961 - 124)) < 8
    checkpoint = ModelShape(
        "Phi3ForCausalLM", (layer,), 5120, 100352, 40, 10, 128, 17920, "bfloat16", False, 16384, 16384, 16384, "",
        quantization={"quant_method": "fp8"},
    )  # fmt: skip
    assert left_over(checkpoint, Scheme("fp8", 8), Ranks(), range(1)) == 0
