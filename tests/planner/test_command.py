"""`vllm-operator plan` as people and scripts use it: what it prints, its exit status, one clear line for bad input."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.host import REPOSITORY
from planner.models import AWQ, LLAMA_8B, LLAMA_70B, Content, quantized
from support.hub import COMMIT, Repository, hub
from vllm_operator.__main__ import main
from vllm_operator.inspection.report import Facts, encode
from vllm_operator.planner import accelerators
from vllm_operator.planner.picture import COLUMNS

KEYS = {
    "fits", "reason", "message", "totalBytes", "weightsBytes", "overheadBytes", "kvCacheBytes", "kvCacheTokens",
    "maxConcurrency", "maxModelLen", "maxModelLenThatFits", "gpusPerReplica", "alternatives",
}  # fmt: skip


class Command:
    """The command line, in a folder with a service and a config.json."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        self.service()
        self.config(LLAMA_70B)

    def service(self, **fields: Any) -> None:
        """Write service.yaml with these fields of the spec."""
        self.write("service.yaml", manifest("big", **fields))

    def write(self, name: str, *documents: object) -> Path:
        """Write a YAML file."""
        path = self.folder / name
        path.write_text(yaml.safe_dump_all(documents))
        return path

    def config(self, content: Content) -> None:
        """Write config.json."""
        (self.folder / "config.json").write_text(json.dumps(content))

    def plan(self, *arguments: str, prog: str = "vllm-operator", files: bool = True) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of `plan`, with the folder's files named unless `files` is off."""
        own = ["-f", str(self.folder / "service.yaml"), "--model-config", str(self.folder / "config.json")]
        self._monkeypatch.setattr(sys, "argv", [f"/usr/bin/{prog}", "plan", *(own if files else []), *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = self._capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, said.out, said.err

    def refusal(self, *arguments: str, files: bool = True) -> str:
        """The one line that is said against bad input."""
        status, out, err = self.plan(*arguments, files=files)
        assert (status, out) == (2, ""), err
        assert err.endswith("\n")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        return err


def manifest(name: str, **fields: Any) -> Content:
    """An InferenceService."""
    spec = {"model": {"uri": "hf://organisation/name"}, **fields}
    return {"apiVersion": "vllm-operator.dev/v1alpha1", "kind": "InferenceService", "metadata": {"name": name},
            "spec": spec}  # fmt: skip


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line."""
    return Command(tmp_path, monkeypatch, capsys)


def test_a_service_that_fits(command: Command) -> None:
    command.service(tensorParallelSize=4)
    status, out, err = command.plan("--gpu", "H100-80GB", "-o", "json")
    content = json.loads(out)
    assert (status, err) == (0, "")
    assert set(content) >= KEYS
    assert (content["fits"], content["reason"], content["gpusPerReplica"]) == (True, "Fits", 4)
    assert (content["maxModelLen"], content["maxModelLenThatFits"]) == (131072, 131072)
    assert content["totalBytes"] == 85_017_493_504
    parts = content["weightsBytes"] + content["overheadBytes"] + content["kvCacheBytes"]
    assert parts == content["requestedBytes"] == -(-content["totalBytes"] * 92 // 100)
    overhead = content["activationBytes"] + content["cudaGraphBytes"] + content["otherBytes"]
    assert overhead == content["overheadBytes"]
    assert content["maxConcurrency"] == pytest.approx(content["kvCacheTokens"] / content["maxModelLen"], rel=1e-3)


def test_a_service_that_does_not(command: Command) -> None:
    command.service(tensorParallelSize=2)
    status, out, _ = command.plan("--gpu", "H100-80GB", "-o", "json")
    content = json.loads(out)
    assert (status, content["fits"], content["reason"]) == (3, False, "ContextTooLong")
    assert 0 < content["maxModelLenThatFits"] < content["maxModelLen"]
    assert any(other["patch"] == {"tensorParallelSize": 4} for other in content["alternatives"])
    assert all(other["change"] and other["gpu"] and other["kvCacheTokens"] for other in content["alternatives"])


def serving_class(name: str = "h100", **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "vllm-operator.dev/v1alpha1",
        "kind": "ServingClass",
        "metadata": {"name": name},
        "spec": {"accelerator": {"product": "NVIDIA-H100-80GB-HBM3"}, **fields},
    }


def test_the_class_says_which_gpu_and_what_is_left_out(command: Command) -> None:
    command.config(LLAMA_8B)
    command.service(servingClassName="h100")
    file = command.write("class.yaml", serving_class(defaults={"maxModelLen": 4096}, namespaces={}))
    status, out, _ = command.plan("--class", str(file), "-o", "json")
    found = json.loads(out)
    assert (status, found["gpu"], found["maxModelLen"]) == (0, "H100-80GB", 4096)


def test_a_service_that_names_no_class_has_the_default_and_no_other(command: Command) -> None:
    command.config(LLAMA_8B)
    assert "which GPU?" in command.refusal("--class", str(command.write("class.yaml", serving_class())))
    own = serving_class(default=True, images={"cuda": "registry.example.com/vllm:v0.32.0"})
    both = command.write("both.yaml", own, manifest("a"))
    status, out, _ = command.plan("-f", str(both), "--model-config", str(command.folder / "config.json"), files=False)
    assert (status, "H100-80GB" in out) == (0, True)


@pytest.mark.parametrize(
    ("service", "fields", "said"),
    [
        ({"servingClassName": "l4"}, {}, "big names the ServingClass l4: pass a file that has it with --class"),
        ({"servingClassName": "h100", "replicas": 9}, {"limits": {"maxReplicas": 4}}, "allows 4 replicas"),
        ({"servingClassName": "h100"}, {"images": {"cuda": "a b"}}, "must be an image like"),
        (
            {"servingClassName": "h100", "accelerator": {"product": "NVIDIA-L4"}},
            {},
            "its accelerator.product is NVIDIA-H100-80GB-HBM3, and this service's is NVIDIA-L4",
        ),
    ],
)
def test_what_the_class_does_not_allow_is_one_line(
    command: Command, service: dict[str, Any], fields: dict[str, Any], said: str
) -> None:
    command.service(**service)
    file = command.write("class.yaml", serving_class(**fields))
    assert said in command.refusal("--class", str(file))


def test_a_service_of_which_nothing_is_known(command: Command) -> None:
    command.service(kvCache={"dtype": "turboquant_4bit_nc"})
    status, out, _ = command.plan("--gpu", "H200", "-o", "json")
    content = json.loads(out)
    assert (status, content["fits"], content["reason"]) == (4, None, "KVCacheTypeNotPlanned")
    assert set(content) >= KEYS
    assert content["kvCacheTokens"] is None


def test_a_service_that_vllm_refuses(command: Command) -> None:
    command.service(tensorParallelSize=3)
    status, out, _ = command.plan("--gpu", "H200", "-o", "json")
    content = json.loads(out)
    assert (status, content["fits"], content["reason"]) == (3, False, "AttentionHeadsNotDivisible")
    assert content["weightsBytes"] is None
    assert content["totalBytes"] == 150_109_880_320


def test_memory_and_capability_instead_of_a_name(command: Command) -> None:
    command.config(quantized(LLAMA_8B, AWQ))
    by_name = json.loads(command.plan("--gpu", "H200", "-o", "json")[1])
    size = ("--gpu-memory", str(by_name["totalBytes"]))
    by_size = json.loads(command.plan(*size, "--compute-capability", "9.0", "-o", "json")[1])
    same = KEYS - {"message", "alternatives"}
    assert {key: by_size[key] for key in same} == {key: by_name[key] for key in same}
    old = json.loads(command.plan(*size, "--compute-capability", "7.0", "-o", "json")[1])
    assert old["reason"] == "GPUTooOld"
    unknown = json.loads(command.plan(*size, "-o", "json")[1])
    assert unknown["fits"] is True
    assert "rules on what the GPU can compute were not checked" in unknown["notes"][0]


def test_what_the_plan_does_not_know_is_said_in_text_and_json(command: Command) -> None:
    command.config(LLAMA_8B)
    content = json.loads(command.plan("--gpu", "H100", "-o", "json")[1])
    assert (content["approximate"], content["approximateBecause"]) == (False, [])
    command.service(image="registry.example.com/vllm:latest")
    other = json.loads(command.plan("--gpu", "H100", "-o", "json")[1])
    assert other["approximate"] is True
    (why,) = other["approximateBecause"]
    assert "the image's tag names no version of vLLM" in why
    assert f"the numbers are approximate: {why}" in " ".join(command.plan("--gpu", "H100")[1].split())
    assert other["marginBytes"] > content["marginBytes"]


def test_the_image_that_is_planned_for_is_the_operators_own(command: Command) -> None:
    command.config(LLAMA_8B)
    settings = command.write("settings.yaml", {"images": {"gpu": "vllm/vllm-openai:v0.33.0"}})
    given = json.loads(command.plan("--gpu", "H100", "-o", "json", "--settings", str(settings))[1])
    default = json.loads(command.plan("--gpu", "H100", "-o", "json")[1])
    command.service(image="vllm/vllm-openai:v0.33.0")
    named = json.loads(command.plan("--gpu", "H100", "-o", "json")[1])
    assert given == named
    assert given["marginBytes"] > default["marginBytes"]


def test_a_quantity_of_memory(command: Command) -> None:
    assert json.loads(command.plan("--gpu-memory", "80Gi", "-o", "json")[1])["totalBytes"] == 80 << 30


def test_the_product_of_the_spec_is_the_gpu(command: Command) -> None:
    command.service(tensorParallelSize=2, accelerator={"product": "NVIDIA-H200"})
    status, out, _ = command.plan("-o", "json")
    assert (status, json.loads(out)["gpu"]) == (0, "H200")
    other = json.loads(command.plan("--gpu", "L4", "-o", "json")[1])
    assert any("NVIDIA-H200" in note for note in other["notes"])


def test_the_memory_of_the_spec_is_that_of_a_gpu_without_a_name(command: Command) -> None:
    command.service(accelerator={"product": "NVIDIA-X1000", "memory": "96Gi"})
    content = json.loads(command.plan("-o", "json")[1])
    assert (content["gpu"], content["totalBytes"]) == ("NVIDIA-X1000", 96 << 30)
    assert json.loads(command.plan("--gpu", "H200", "-o", "json")[1])["gpu"] == "H200"
    command.service(accelerator={"product": "NVIDIA-X1000"})
    assert "no GPU 'NVIDIA-X1000'" in command.refusal()


def test_the_picture_says_what_the_numbers_say(command: Command) -> None:
    command.service(tensorParallelSize=2)
    status, out, _ = command.plan("--gpu", "H100-80GB")
    content = json.loads(command.plan("--gpu", "H100-80GB", "-o", "json")[1])
    assert status == 3
    assert max(map(len, out.splitlines())) <= COLUMNS
    assert out.isascii()
    for key in ("weightsBytes", "activationBytes", "otherBytes", "kvCacheBytes", "totalBytes"):
        assert f"{content[key] / 2**30:.2f} GiB" in out, key
    for words in ("weights", "activations", "CUDA graphs", "other", "KV cache", "DOES NOT FIT (ContextTooLong)"):
        assert words in out
    assert f"{content['kvCacheTokens']:,} tokens" in out
    assert f"{content['maxModelLenThatFits']:,} tokens" in out
    assert all(line in out for other in content["alternatives"] for line in other["change"].split(", "))
    assert "an fp8 checkpoint" in " ".join(out.split())


def test_the_bar_is_as_long_as_its_parts(command: Command) -> None:
    command.service(tensorParallelSize=4)
    out = command.plan("--gpu", "H100-80GB")[1]
    content = json.loads(command.plan("--gpu", "H100-80GB", "-o", "json")[1])
    bar = next(line for line in out.splitlines() if line.startswith("  [")).strip(" []")
    assert bar.count("#") == pytest.approx(60 * content["weightsBytes"] / content["totalBytes"], abs=1)
    assert bar.count(".") == pytest.approx(60 * content["kvCacheBytes"] / content["totalBytes"], abs=1)


def test_all_gpus_are_compared(command: Command) -> None:
    command.service(tensorParallelSize=4)
    status, out, _ = command.plan("--gpu", "all")
    nvidia = [gpu.name for gpu in accelerators.CATALOGUE if gpu.vendor == "nvidia"]
    assert status == 0
    assert max(map(len, out.splitlines())) <= COLUMNS
    rows = {line.split()[0]: line.split() for line in out.splitlines()[3:]}
    assert set(rows) == set(nvidia)
    # The fewest that fit, whatever the spec's own size.
    assert (rows["H200"][1:3], rows["H200"][4]) == (["2", "150"], "fits")
    assert int(rows["H200"][3].replace(",", "")) > int(rows["H20"][3].replace(",", "")) > 100
    assert rows["L4"][1:5] == ["-", "-", "-", "no"]
    assert rows["L4"][-1] == "ContextTooLong"
    content = json.loads(command.plan("--gpu", "all", "-o", "json")[1])
    smallest = {one["gpu"]: (one["smallestTensorParallelSize"], one["priceRank"]) for one in content["gpus"]}
    assert (smallest["H200"], smallest["H100-80GB"], smallest["L4"]) == ((2, 150), (4, 240), (None, None))
    assert all(one["gpusPerReplica"] == 4 for one in content["gpus"])
    assert all(one["smallest"]["message"] for one in content["gpus"])
    assert {one["gpu"] for one in content["gpus"]} == set(nvidia)
    assert all(set(one) >= KEYS for one in content["gpus"])
    speeds = {one["gpu"]: one["smallest"]["speed"] for one in content["gpus"]}
    assert speeds["L4"] is None
    assert speeds["H200"]["approximateBecause"] == ["speed was not measured with more than 256 requests at once"]


def test_what_it_will_serve_is_told(command: Command) -> None:
    command.service(tensorParallelSize=2, maxNumSeqs=128)
    out = command.plan("--gpu", "H200")[1]
    assert re.search(r"answers +\d+ tokens/s of one request, [\d,]+ of 128 at once", out)
    assert re.search(r"prompts +[\d,]+ tokens/s; first token of 1,000 after 0\.\d+ s", out)
    assert "rough estimate" not in out
    speed = json.loads(command.plan("--gpu", "H200", "-o", "json")[1])["speed"]
    assert 20 < speed["decodeTokensPerSecond"] < 60
    assert speed["requestsTogether"] == 128
    command.service(tensorParallelSize=8)
    assert "rough estimate: the speed of L40S was not measured" in command.plan("--gpu", "L40S")[1]


def test_the_platforms_prices_decide_what_is_cheap(command: Command) -> None:
    def first(*more: str) -> str:
        return command.plan("--gpu", "all", *more)[1].splitlines()[3].split()[0]

    settings = command.write("settings.yaml", {"gpuPrices": {"NVIDIA-B200": 0.2}})
    assert first() != "B200"
    assert first("--gpu-prices", "B200=0.1") == "B200"
    assert first("--settings", str(settings)) == "B200"
    assert first("--settings", str(settings), "--gpu-prices", "B200=1000,H200=0.1") == "H200"
    others = json.loads(command.plan("--gpu", "L4", "--gpu-prices", "H200=0.1", "-o", "json")[1])["alternatives"]
    assert (others[0]["gpu"], others[0]["priceRank"], others[0]["gpusPerReplica"]) == ("H200", 0.2, 2)


def test_without_an_alternative_it_is_said_why(command: Command) -> None:
    command.config({**LLAMA_70B, "num_hidden_layers": 300, "hidden_size": 16384, "intermediate_size": 65536})
    content = json.loads(command.plan("--gpu", "H100", "-o", "json")[1])
    assert content["alternatives"] == []
    assert "none of" in content["noAlternatives"]
    assert content["noAlternatives"] in content["notes"]
    assert "the roomiest, 8 x B200" in " ".join(command.plan("--gpu", "H100")[1].split())


def test_auto_is_the_smallest_that_fits_the_gpu(command: Command) -> None:
    command.service(tensorParallelSize="auto")
    status, out, _ = command.plan("--gpu", "H200", "-o", "json")
    content = json.loads(out)
    assert (status, content["gpusPerReplica"]) == (0, 2)
    assert content["notes"][0].startswith("tensorParallelSize auto: 2 is the smallest that fits H200")
    status, out, _ = command.plan("--gpu", "L4", "-o", "json")
    assert status == 3
    assert "no size fits L4" in json.loads(out)["notes"][0]
    status, out, _ = command.plan("--gpu", "all", "-o", "json")
    assert status == 0
    assert {one["gpu"]: one["gpusPerReplica"] for one in json.loads(out)["gpus"]}["H100-80GB"] == 4


def test_no_gpu_fits(command: Command) -> None:
    command.service(tensorParallelSize=3)
    assert command.plan("--gpu", "all")[0] == 3


def test_gpus_of_the_vendor_are_compared(command: Command) -> None:
    command.service(accelerator={"resource": "amd.com/gpu"})
    content = json.loads(command.plan("--gpu", "all", "-o", "json")[1])
    assert {one["gpu"] for one in content["gpus"]} == {"MI300X", "MI325X"}


def test_one_of_several_services(command: Command) -> None:
    path = command.write("two.yaml", manifest("one"), {"kind": "ConfigMap"}, manifest("two", tensorParallelSize=2))
    arguments = ("-f", str(path), "--gpu", "H200", "-o", "json")
    assert json.loads(command.plan(*arguments, "--name", "two")[1])["gpusPerReplica"] == 2
    assert "pick one with --name: one, two" in command.refusal(*arguments)
    assert "no InferenceService three, but one, two" in command.refusal(*arguments, "--name", "three")


def test_the_cpu_has_the_memory_of_the_pod(command: Command) -> None:
    tiny = {**LLAMA_8B, "num_hidden_layers": 2, "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 2048}  # fmt: skip
    command.config(tiny)
    command.service(accelerator={"resource": "cpu"}, resources={"limits": {"memory": "8Gi"}})
    content = json.loads(command.plan("-o", "json")[1])
    assert (content["gpu"], content["totalBytes"]) == ("CPU", 9 << 30)  # the pod's limit has 1Gi more for /dev/shm
    more = json.loads(command.plan("-o", "json", "--gpu-memory", "16Gi")[1])
    assert more["totalBytes"] == 16 << 30
    assert "resource is cpu" in command.refusal("--gpu", "H100")
    command.service(accelerator={"resource": "cpu"})
    assert "resources.limits.memory" in command.refusal()


def test_a_report_of_the_inspect_job(command: Command) -> None:
    report = command.folder / "report"
    report.write_text(encode(Facts(LLAMA_70B)))
    own = ("-f", str(command.folder / "service.yaml"), "--gpu", "H200", "-o", "json")
    with_report = json.loads(command.plan(*own, "--report", str(report), files=False)[1])
    assert with_report == json.loads(command.plan(*own)[1])
    report.write_text('{"reason": "ModelGated", "message": "it is gated"}')
    assert "it is gated" in command.refusal(*own, "--report", str(report), files=False)


def test_a_folder_of_a_model(command: Command) -> None:
    own = ("-f", str(command.folder / "service.yaml"), "--gpu", "H200")
    assert command.plan(*own, "--model-config", str(command.folder), files=False)[0] == 3


def _of_8192_tokens(command: Command) -> Iterator[dict[str, Any]]:
    """The plans for so many tokens, of the model's folder and of its config.json."""
    command.service(maxModelLen=8192)
    own = ("-f", str(command.folder / "service.yaml"), "--gpu", "H200", "-o", "json")
    for where in (command.folder, command.folder / "config.json"):
        yield json.loads(command.plan(*own, "--model-config", str(where), files=False)[1])


def test_a_length_that_sentence_transformers_notes_beside_the_model(command: Command) -> None:
    (command.folder / "sentence_bert_config.json").write_text('{"max_seq_length": 4096}')
    for content in _of_8192_tokens(command):
        assert content["reason"] == "MaxModelLenTooLong"
        assert "4,096 tokens (max_seq_length of sentence-transformers): set at most 4096" in content["message"]


@pytest.mark.parametrize("text", ["[]", "[", "{"])
def test_what_notes_no_length_beside_the_model(command: Command, text: str) -> None:
    (command.folder / "sentence_bert_config.json").write_text(text)
    (command.folder / "sentence_roberta_config.json").symlink_to("nowhere")
    (command.folder / "sentence_albert_config.json").mkdir()
    (command.folder / "sentence_xlnet_config.json").write_text('{"max_seq_length": 4096}')
    for content in _of_8192_tokens(command):
        assert content["reason"] == "MaxModelLenTooLong"


def test_more_ranks_than_a_node_has_gpus(command: Command) -> None:
    command.service(tensorParallelSize=8)
    content = json.loads(command.plan("--gpu", "H200", "--gpus-per-node", "4", "-o", "json")[1])
    assert content["reason"] == "TooManyGPUs"
    assert content["weightsBytes"] > 0


def test_it_is_a_plugin_of_kubectl(command: Command) -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["kubectl-vllm"] == scripts["vllm-operator"] == "vllm_operator.__main__:main"
    status, _, err = command.plan("--gpu", "H300", prog="kubectl-vllm")
    assert status == 2
    assert err.startswith("kubectl vllm plan: the catalogue has no GPU 'H300'")


def test_the_example_is_a_service_that_can_be_planned(command: Command) -> None:
    command.config(quantized(LLAMA_70B, AWQ))
    example = str(REPOSITORY / "examples" / "llama-70b.yaml")
    content = json.loads(command.plan("-f", example, "-o", "json")[1])
    assert (content["service"], content["fits"], content["gpu"]) == ("llama-70b", True, "H100-80GB")


BAD_ARGUMENTS: list[tuple[list[str], tuple[str, ...]]] = [
    ([], ("which GPU?", "--gpu NAME")),
    (["--gpu", "H300"], ("no GPU 'H300'", "H100-80GB", "--gpu-memory")),
    (["--gpu", "H100", "--gpu-prices", "H300=1"], ("--gpu-prices H300=1", "no GPU 'H300'")),
    (["--gpu", "H100", "--gpu-prices", "H100"], ("--gpu-prices H100", "like H100=2.5")),
    (["--gpu", "H100", "--gpu-prices", "H100=-1"], ("H100=-1", "above 0")),
    (["--gpu", "H100", "--gpu-prices", "H100=nan"], ("H100=nan", "above 0")),
    (["--gpu", "H100", "--gpu-memory", "80Gi"], ("--gpu or --gpu-memory, not both",)),
    (["--gpu", "MI300X"], ("MI300X", "accelerator.resource")),
    (["--gpu", "H100", "--compute-capability", "9.0"], ("--compute-capability goes with --gpu-memory",)),
    (["--gpu-memory=-80Gi"], ("-80Gi", "too few")),
    (["--gpu-memory=-5"], ("-5",)),
    (["--gpu-memory", "80"], ("80 bytes are too few",)),
    (["--gpu-memory", "80GB"], ("80GB", "like 80Gi")),
    (["--gpu-memory", "nan"], ("nan", "like 80Gi")),
    (["--gpu-memory", "inf"], ("inf", "like 80Gi")),
    (["--gpu-memory", ""], ("--gpu-memory", "like 80Gi")),
    (["--gpu-memory", "9999999Ti"], ("no GPU has that much",)),
    (["--gpu", ""], ("no GPU ''",)),
    (["--gpu-memory", "80Gi", "--compute-capability", ""], ("--compute-capability", "like 9.0")),
    (["--gpu-memory", "80Gi", "--compute-capability", "nine"], ("nine", "like 9.0")),
    (["--gpu-memory", "80Gi", "--compute-capability", "90"], ("90", "like 9.0")),
    (["--gpu-memory", "80Gi", "--compute-capability", "-9.0"], ("--compute-capability",)),
    (["--gpu", "H100", "--gpus-per-node", "0"], ("--gpus-per-node 0",)),
    (["--gpu", "H100", "--gpus-per-node", "two"], ("--gpus-per-node", "two")),
    (["--gpu", "H100", "-o", "yaml"], ("yaml", "json")),
    (["--gpu", "H100", "--report", "x"], ("--report", "not allowed with")),
    (["--gpu", "H100", "-f", "/nowhere/service.yaml"], ("/nowhere/service.yaml", "No such file")),
    (["--gpu", "H100", "-f", "/"], ("/: ", "directory")),
    (["--gpu", "H100", "--model-config", "/nowhere/config.json"], ("/nowhere/config.json", "No such file")),
    (["--gpu", "H100", "--name", "other"], ("no InferenceService other, but big",)),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_ARGUMENTS, ids=lambda value: " ".join(value) or "none")
def test_bad_arguments(command: Command, arguments: list[str], words: tuple[str, ...]) -> None:
    line = command.refusal(*arguments)
    assert all(word in line for word in words), line
    assert line.startswith("vllm-operator plan: ")


BAD_SERVICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "not yaml": ("a: [b", ("is not YAML", "line 1")),
    "tabs": ("a:\n\t- b", ("is not YAML",)),
    "binary": ("\x00\x01", ("is not YAML",)),
    "empty": ("", ("has no InferenceService",)),
    "a list": ("- 1\n- 2\n", ("has no InferenceService",)),
    "something else": ("kind: Pod\n", ("has no InferenceService",)),
    "of KServe": ("apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n", ("serving.kserve.io/v1beta1",)),
    "no spec": ("metadata: {name: x}\n", ("x: spec: Required value",)),
    "no metadata": ("metadata: {}\nspec: {model: {uri: 'hf://a/b'}}\n", ("metadata.name", "Required value")),
    "no model": ("spec: {maxModelLen: 4096}\n", ("spec.model: Required value",)),
    "no number": ("spec: {model: {uri: 'hf://a/b'}, tensorParallelSize: four}\n",
                  ("spec.tensorParallelSize", "four", "a number of GPUs")),
    "too small": ("spec: {model: {uri: 'hf://a/b'}, tensorParallelSize: 0}\n", ("spec.tensorParallelSize", "1 to 64")),
    "a unit": ("spec: {model: {uri: 'hf://a/b'}, maxModelLen: 32k}\n", ("spec.maxModelLen",)),
    "misspelt": ("spec: {model: {uri: 'hf://a/b'}, tensorParalelSize: 4}\n",
                 ('unknown field "spec.tensorParalelSize": tensorParallelSize is meant?',)),
    "misspelt below": ("spec: {model: {uri: 'hf://a/b'}, kvCache: {dtyp: fp8}}\n", ("spec.kvCache.dtyp",)),
    "no quantity": ("spec: {model: {uri: 'hf://a/b'}, kvCache: {memoryPerGPU: 20}}\n", ("spec.kvCache.memoryPerGPU",)),
    "twice": ("spec: {model: {uri: 'hf://a/b'}, maxModelLen: 1, maxModelLen: 2}\n", ("maxModelLen", "is there twice")),
}  # fmt: skip


@pytest.mark.parametrize(
    "accelerator", ["count: 2", "product: NVIDIA-L4-SHARED", "resource: nvidia.com/gpu.shared, product: NVIDIA-L4"]
)
def test_a_share_of_a_gpu_is_planned_in_a_cluster(command: Command, accelerator: str) -> None:
    head = "apiVersion: vllm-operator.dev/v1alpha1\nkind: InferenceService\nmetadata: {name: x}\n"
    text = f"{head}spec: {{model: {{uri: 'hf://a/b'}}, accelerator: {{{accelerator}}}}}\n"
    (command.folder / "service.yaml").write_text(text)
    assert "only nodes tell how many pods share a GPU" in command.refusal()


@pytest.mark.parametrize(("text", "words"), BAD_SERVICES.values(), ids=BAD_SERVICES)
def test_bad_services(command: Command, text: str, words: tuple[str, ...]) -> None:
    ours = text.startswith(("spec", "metadata"))
    head = "apiVersion: vllm-operator.dev/v1alpha1\nkind: InferenceService\n" if ours else ""
    head += "metadata: {name: x}\n" if text.startswith("spec") else ""
    (command.folder / "service.yaml").write_text(head + text)
    line = command.refusal("--gpu", "H100")
    assert all(word in line for word in ("service.yaml", *words)), line


BAD_CONFIGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "not json": ("{", ("not JSON",)),
    "binary": ("\x00", ("not JSON",)),
    "a list": ("[]", ("no object",)),
    "nothing": ("{}", ("no architecture",)),
    "no layers": (json.dumps({k: v for k, v in LLAMA_8B.items() if k != "num_hidden_layers"}), ("num_hidden_layers",)),
    "words for numbers": (json.dumps({**LLAMA_8B, "hidden_size": "large"}), ("hidden_size", "large")),
    "negative": (json.dumps({**LLAMA_8B, "vocab_size": -1}), ("vocab_size", "-1")),
    "no architectures": (json.dumps({**LLAMA_8B, "architectures": []}), ("no architecture",)),
    "odd architectures": (json.dumps({**LLAMA_8B, "architectures": 3}), ()),
    "odd rope": (json.dumps({**LLAMA_8B, "rope_scaling": {"rope_type": "linear", "factor": "much"}}), ()),
    "odd quantization": (json.dumps({**LLAMA_8B, "quantization_config": "awq"}), ()),
    "odd groups": (json.dumps(quantized(LLAMA_8B, {**AWQ, "group_size": "many"})), ()),
    "odd text config": (json.dumps({"text_config": [1], "architectures": ["X"]}), ("text_config",)),
    "no heads at all": (json.dumps({**LLAMA_8B, "num_attention_heads": 0}), ("attention heads",)),
    "no layers at all": (json.dumps({**LLAMA_8B, "num_hidden_layers": 0}), ("layers",)),
    "no kv heads": (json.dumps({**LLAMA_8B, "num_key_value_heads": 0}), ()),
    "fewer kinds than layers": (json.dumps({**LLAMA_8B, "layer_types": ["full_attention"]}), ()),
}


@pytest.mark.parametrize(("text", "words"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_bad_configs(command: Command, text: str, words: tuple[str, ...]) -> None:
    (command.folder / "config.json").write_text(text)
    line = command.refusal("--gpu", "H100")
    assert all(word in line for word in ("config", *words)), line


def test_the_hub_cannot_be_reached(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    line = command.refusal("-f", str(command.folder / "service.yaml"), "--gpu", "H100", files=False)
    assert "the hub cannot be reached" in line
    assert "pass --model-config" in line


def test_the_model_is_read_from_the_hub_at_its_revision(command: Command) -> None:
    files = {"config.json": json.dumps(LLAMA_8B).encode()}
    command.service(model={"uri": "hf://org/plain", "revision": COMMIT})
    with hub({"org/plain": Repository(files)}) as serving:
        arguments = ["-f", str(command.folder / "service.yaml"), "--gpu", "L4", "-o", "json"]
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        environment |= {"PYTHONPATH": str(REPOSITORY / "operator"), "HF_ENDPOINT": serving.endpoint,
                        "HF_HOME": str(command.folder)}  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-m", "vllm_operator", "plan", *arguments],
            capture_output=True,
            env=environment,
            check=False,
        )
    command.config(LLAMA_8B)
    assert json.loads(ended.stdout) == json.loads(command.plan("--gpu", "L4", "-o", "json")[1])
    assert ended.returncode == 3


def test_a_claim_cannot_be_read_from_here(command: Command) -> None:
    command.write("claim.yaml", manifest("claim", model={"uri": "pvc://models/llama"}))
    line = command.refusal("-f", str(command.folder / "claim.yaml"), "--gpu", "H100", files=False)
    assert "pvc://models/llama" in line
    assert "--model-config" in line
