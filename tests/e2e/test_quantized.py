"""Quantized checkpoints through the same manifest: with `quantization`, without it, and contradicting it."""

import platform
from pathlib import Path

import pytest

from support.end_to_end import chat
from support.kube import Kube, conditions
from support.serving import tiny

HAS_KERNELS = platform.machine() != "x86_64" or " avx512f " in Path("/proc/cpuinfo").read_text()


@pytest.mark.skipif(
    not HAS_KERNELS, reason="vLLM's kernels for AWQ and GPTQ on a CPU need AVX-512, which this one lacks"
)
@pytest.mark.parametrize("method", ["awq", "gptq"])
def test_a_quantized_checkpoint_serves_with_and_without_the_field(kube: Kube, method: str) -> None:
    name = f"tiny-{method}"
    kube.apply(tiny(name, checkpoint=name))
    kube.ready(name)
    assert chat(kube.url(name), name)[0] == 200
    kube.merge("vis", name, {"spec": {"quantization": method}})
    kube.wait(
        "the change is taken up", 90, lambda: conditions(kube.get("vis", name) or {})["Ready"]["status"] == "False"
    )
    kube.ready(name)
    assert chat(kube.url(name), name)[0] == 200
    kube.run("delete", "vis", name, "--wait=false")


@pytest.mark.skipif(HAS_KERNELS, reason="this CPU has the kernels for AWQ and GPTQ")
def test_a_processor_without_the_kernel_is_named(kube: Kube) -> None:
    kube.apply(tiny("tiny-awq", checkpoint="tiny-awq"))
    kube.ready("tiny-awq")
    assert chat(kube.url("tiny-awq"), "tiny-awq")[0] == 500

    def explained() -> str | None:
        ready = conditions(kube.get("vis", "tiny-awq") or {}).get("Ready", {})
        return str(ready["message"]) if ready.get("reason") == "KernelMissing" else None

    assert "has no cpu_gemm_wna16" in kube.wait("the failure is explained", 120, explained)
    kube.run("delete", "vis", "tiny-awq", "--wait=false")


def test_a_checkpoint_that_contradicts_the_spec_says_so_in_vllms_words(kube: Kube) -> None:
    kube.apply(tiny("contradicting", checkpoint="tiny-awq", quantization="gptq", planPolicy="Warn"))

    def explained() -> str | None:
        ready = conditions(kube.get("vis", "contradicting") or {}).get("Ready", {})
        return str(ready["message"]) if ready.get("reason") == "InvalidArguments" else None

    message = kube.wait("the failure is explained", 600, explained)
    assert "does not match the quantization method specified in the `quantization` argument (gptq)" in message
    service = kube.get("vis", "contradicting") or {}
    assert conditions(service)["Stalled"]["status"] == "True"
    # The plan had said so before.
    assert conditions(service)["Fits"]["reason"] == "QuantizationMismatch"
    kube.run("delete", "vis", "contradicting", "--wait=false")
