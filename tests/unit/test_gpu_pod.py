"""What `make gpu-check` starts is the pod that the operator renders: its arguments, folders, shared memory and hook."""

import os
import subprocess
from pathlib import Path

import pytest

from gpu.pod import Object, Pod, render
from gpu.serving import service


@pytest.fixture(scope="module")
def template() -> Object:
    return render(service(40))


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
