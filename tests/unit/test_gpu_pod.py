"""What `make gpu-check` starts is the pod that the operator renders: its arguments, folders, shared memory and hook."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gpu.pod import Object, Pod, render
from gpu.random_model import ADAPTER_RANK, adapter_shapes
from gpu.serving import devices, embedding_service, service


@pytest.fixture(scope="module")
def template() -> Object:
    return render(service(40, 1))


@pytest.fixture
def pod(template: Object, tmp_path: Path) -> Pod:
    return Pod(template, tmp_path / "pod", tmp_path / "models", gpus="1", port=8001, user=os.getuid())


def test_every_volume_is_mounted_where_the_container_has_it(template: Object, pod: Pod, tmp_path: Path) -> None:
    script = pod.command(["vllm"])[6]
    targets = [mount["mountPath"] for mount in template["spec"]["containers"][0]["volumeMounts"]]
    assert all(f"mkdir -p {target}\n" in script for target in targets)
    assert f"mount --bind {tmp_path / 'models'} /models/models" in script
    assert "mount -t tmpfs -o mode=1777,size=1g tmpfs /dev/shm" in script
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_the_middleware_is_the_annotations(template: Object, pod: Pod) -> None:
    (file,) = pod.home.glob("volumes/middleware/*.py")
    assert file.read_text() == template["metadata"]["annotations"]["vllm-operator.dev/middleware"]


def test_only_the_port_differs_from_what_is_rendered(template: Object, pod: Pod) -> None:
    container = template["spec"]["containers"][0]
    words = [*container["command"], *container["args"], *container["lifecycle"]["preStop"]["exec"]["command"]]
    told = pod.words(words)
    assert [(word, other) for word, other in zip(words, told, strict=True) if word != other] == [
        ("--port=8000", "--port=8001"),
        ("8000", "8001"),
    ]


@pytest.mark.parametrize("wanted", [service(40, 1), service(None, 2), embedding_service(None)], ids=str)
def test_the_pod_is_what_the_command_renders(wanted: Object, tmp_path: Path) -> None:
    file = tmp_path / "service.json"
    file.write_text(json.dumps(wanted))
    command = [sys.executable, "-m", "vllm_operator", "render", "-f", str(file)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (deployment,) = (item for item in yaml.safe_load_all(printed) if item["kind"] == "Deployment")
    assert render(wanted) == deployment["spec"]["template"]


@pytest.mark.parametrize("forbidden", [True, False])
def test_vllm_on_several_gpus_uses_no_multicast_where_the_machine_forbids_it(
    template: Object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, forbidden: bool
) -> None:
    for name in ("NCCL_NVLS_ENABLE", "NVSHMEM_DISABLE_NVLS", "TORCH_SYMM_MEM_DISABLE_MULTICAST"):
        monkeypatch.delenv(name, raising=False)
    if forbidden:
        monkeypatch.setenv("NCCL_NVLS_ENABLE", "0")
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda argv, **options: started.append((argv, options["env"])))
    for number, gpus in enumerate(["2,3", "2"]):
        Pod(template, tmp_path / str(number), tmp_path, gpus=gpus, port=8001, user=os.getuid()).start()
    (argv, environment), (alone, _) = started
    assert environment["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert ("fuse_allreduce_rms" in argv[-1]) == forbidden
    assert (environment.get("VLLM_ALLREDUCE_USE_FLASHINFER") == "0") == forbidden
    assert (environment.get("TORCH_SYMM_MEM_DISABLE_MULTICAST") == "1") == forbidden
    assert "fuse_allreduce_rms" not in alone[-1]


def test_each_replica_has_as_many_gpus_as_it_splits_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert (devices(1), devices(2)) == (["0", "1"], ["0,1", "2,3"])
    with pytest.raises(SystemExit, match="takes 3 GPUs, or 6, and there are 4"):
        devices(3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert devices(1) == ["5", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert (devices(1), devices(2)) == (["4", "7"], ["4,7", "4,7"])


def test_the_adapter_fits_its_model() -> None:
    config = {
        "model_type": "qwen3", "hidden_size": 64, "intermediate_size": 128, "head_dim": 32, "num_attention_heads": 4,
        "num_key_value_heads": 2, "num_hidden_layers": 1, "vocab_size": 100,
    }  # fmt: skip
    assert adapter_shapes(config) == {
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": (ADAPTER_RANK, 64),
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight": (128, ADAPTER_RANK),
        "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight": (ADAPTER_RANK, 64),
        "base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight": (64, ADAPTER_RANK),
    }
