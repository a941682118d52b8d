"""What a release refuses, and what it writes into the chart, into the plugin's archive and into krew's manifest."""

import hashlib
import subprocess
from pathlib import Path

import pytest
import yaml

from cluster.host import ClusterError
from release import chart
from release.parameters import USUAL, Release, check
from release.plugin.archive import LAUNCHER, PLATFORMS, share
from release.plugin.krew import manifest

DIGEST = "sha256:" + "7" * 64
PLACES = {
    "operator": f"registry.example.com/llm/vllm-operator:1.2.3@{DIGEST}",
    "vllm-cpu": f"registry.example.com/llm/vllm-cpu:0.32.0-1.2.3@{DIGEST}",
}


def release(**given: object) -> Release:
    usual = {"registry": "registry.example.com/llm", "version": "1.2.3", "images": USUAL, "url": "", "commit": "c0ffee"}
    return Release(**{**usual, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize("registry", ["localhost:5000", "registry.example.com", "docker.io/me", "10.0.0.1:5000/a/b-c"])
def test_takes_registries_with_and_without_a_folder(registry: str) -> None:
    check(release(registry=registry))
    assert release(registry=registry).tag("operator") == f"{registry}/vllm-operator:1.2.3"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"registry": ""}, "needs both: REGISTRY="),
        ({"version": ""}, "needs both: REGISTRY="),
        ({"version": "v1.2.3"}, "no v"),
        ({"version": "1.2"}, "write it as in 1.2.3"),
        ({"version": "1.2.3+build"}, "no +"),
        ({"version": '1.2.3"; true'}, "write it as in 1.2.3"),
        ({"registry": "https://registry.example.com"}, "without a scheme"),
        ({"registry": "Registry.example.com/Team"}, "in small letters"),
        ({"registry": "team"}, "begin with the registry's host"),
        ({"registry": "team/models"}, "begin with the registry's host"),
        ({"images": ("operator", "rocm")}, "there is no rocm; there are operator, vllm-cpu, vllm"),
        ({"images": ("vllm-cpu",)}, "the operator is missing"),
        ({"url": "http://example.com"}, "https:// only"),
    ],
)
def test_refuses_what_cannot_be_in_one_sentence(given: dict[str, object], said: str) -> None:
    with pytest.raises(ClusterError, match=said.replace("+", r"\+")):
        check(release(**given))


def test_the_tag_of_an_image_with_vllm_tells_vllms_version_first() -> None:
    assert release().tag("vllm-cpu").startswith("registry.example.com/llm/vllm-cpu:0.")
    assert release().tag("vllm-cpu").endswith("-1.2.3")


def test_the_charts_values_get_the_images_and_keep_the_rest() -> None:
    before = (chart.CHART / "values.yaml").read_text()
    after = chart.with_images(before, PLACES)
    values, usual = yaml.safe_load(after), yaml.safe_load(before)
    assert values["image"] == {
        "repository": "registry.example.com/llm/vllm-operator",
        "tag": "1.2.3",
        "digest": DIGEST,
        "pullPolicy": usual["image"]["pullPolicy"],
    }
    assert values["settings"] == {"images": {"cpu": PLACES["vllm-cpu"]}}
    assert {key: values[key] for key in values if key not in ("image", "settings")} == {
        key: usual[key] for key in usual if key not in ("image", "settings")
    }
    assert yaml.safe_load(chart.with_images(before, {"operator": PLACES["operator"]}))["settings"] == {}
    on_ray = f"registry.example.com/llm/vllm-ray:0.32.0-1.2.3@{DIGEST}"
    settings = yaml.safe_load(chart.with_images(before, {**PLACES, "vllm-ray": on_ray}))["settings"]
    assert settings == {"images": {"cpu": PLACES["vllm-cpu"], "ray": on_ray}}


def test_a_chart_that_names_images_already_is_not_packaged() -> None:
    values = chart.with_images((chart.CHART / "values.yaml").read_text(), PLACES)
    with pytest.raises(ClusterError, match="has 0 lines"):
        chart.with_images(values, PLACES)


def test_what_all_pythons_have_alike_is_kept_once_and_whole_packages_stay_together(tmp_path: Path) -> None:
    for tag, binary in (("cp311", "one"), ("cp312", "two")):
        folder = tmp_path / tag
        (folder / "pure").mkdir(parents=True)
        (folder / "pure" / "x.py").write_text("x = 1")
        (folder / "native").mkdir()
        (folder / "native" / "y.py").write_text("y = 1")
        (folder / "native" / "y.so").write_text(binary)
    (tmp_path / "cp312" / "backport.py").write_text("")
    share([tmp_path / "cp311", tmp_path / "cp312"], tmp_path / "any")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    native = {f"{tag}/native/{name}" for tag in ("cp311", "cp312") for name in ("y.py", "y.so")}
    assert found == {"any/pure/x.py", "cp312/backport.py", *native}


def launched(tmp_path: Path, pythons: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What the launcher does where PATH has these Pythons, by their versions, and where it was linked to."""
    unpacked, path = tmp_path / "unpacked", tmp_path / "bin"
    for folder in (unpacked / "lib" / "cp312", path):
        folder.mkdir(parents=True)
    for tool in ("sh", "readlink", "dirname"):
        (path / tool).symlink_to(f"/usr/bin/{tool}")
    (unpacked / "kubectl-vllm").write_bytes(LAUNCHER.read_bytes())
    (unpacked / "kubectl-vllm").chmod(0o755)
    (path / "kubectl-vllm").symlink_to("../unpacked/kubectl-vllm")
    for name, version in pythons.items():
        script = (
            f'#!/bin/sh\ncase "$*" in *version_info*) echo {version} ;; *) echo {name} "$PYTHONPATH" "$4" ;; esac\n'
        )
        (path / name).write_text(script)
        (path / name).chmod(0o755)
    words = [str(path / "kubectl-vllm"), "plan it"]
    return subprocess.run(words, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def test_the_launcher_takes_a_python_that_the_archive_has_packages_for(tmp_path: Path) -> None:
    said = launched(tmp_path, {"python3": "cp39", "python3.12": "cp312"})
    libraries = ":".join(f"{tmp_path}/unpacked/{name}" for name in ("app", "lib/any", "lib/cp312"))
    assert said.stdout == f"python3.12 {libraries} plan it\n"


def test_the_launcher_says_which_pythons_it_can_use(tmp_path: Path) -> None:
    said = launched(tmp_path, {"python3": "cp39"})
    assert said.returncode == 1
    assert "needs Python 3.11, 3.12, 3.13 or 3.14" in said.stderr


def test_krews_manifest_names_each_archive_with_its_sum(tmp_path: Path) -> None:
    archive = tmp_path / "kubectl-vllm-1.2.3-linux-amd64.tar.gz"
    archive.write_bytes(b"packed")
    (found,) = manifest("1.2.3", {PLATFORMS[0]: archive}, "https://example.com/v1.2.3/")["spec"]["platforms"]
    assert found == {
        "selector": {"matchLabels": {"os": "linux", "arch": "amd64"}},
        "uri": f"https://example.com/v1.2.3/{archive.name}",
        "sha256": hashlib.sha256(b"packed").hexdigest(),
        "bin": "kubectl-vllm",
    }
