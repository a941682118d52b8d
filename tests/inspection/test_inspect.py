"""What `vllm-operator inspect` finds out: a process of its own, as in the Job, and a hub of this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.host import REPOSITORY
from support.hub import COMMIT, TOKEN, Hub, Repository, hub, safetensors
from vllm_operator.api.reasons import Reason
from vllm_operator.inspection.report import LONGEST_BYTES, Facts, InspectionError, decode, encode

CONFIG = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "id2label": {str(i): "x" for i in range(999)}}
NOTED = {key: value for key, value in CONFIG.items() if key != "id2label"}
FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "model.safetensors": safetensors(a=("BF16", [8, 8], 128), b=("U8", [10], 10)),
}
PARTS = {f"model-{i}-of-2.safetensors": safetensors(**{f"t{i}": ("BF16", [i, 500], 1000 * i)}) for i in (1, 2)}
INDEX = {"metadata": {"total_size": 1}, "weight_map": {f"t{i}": f"model-{i}-of-2.safetensors" for i in (1, 2)}}
FIRST = "model-1-of-2.safetensors"
# The weights in two forms, as many repositories have them: vLLM loads those of the index.
TWICE = {**FILES, **PARTS, "model.safetensors.index.json": json.dumps(INDEX).encode(), "fp16/a.safetensors": b"no"}


@pytest.fixture(scope="module")
def served() -> Iterator[Hub]:
    """A hub with one model of each sort."""
    quantized = {"quantization": {"quant_algo": "FP8"}}
    with hub(
        {
            "org/plain": Repository(FILES),
            "org/sharded": Repository(
                {
                    "config.json": FILES["config.json"],
                    "model.safetensors.index.json": json.dumps(INDEX).encode(),
                    **PARTS,
                }
            ),
            "org/twice": Repository(TWICE),
            "org/mistral": Repository({**TWICE, "consolidated.safetensors": FILES["model.safetensors"]}),
            "org/unusual": Repository({"config.json": FILES["config.json"], "weights.safetensors": PARTS[FIRST]}),
            "org/modelopt": Repository({**FILES, "hf_quant_config.json": json.dumps(quantized).encode()}),
            "org/pickled": Repository({"config.json": FILES["config.json"], "pytorch_model.bin": b"no"}),
            "org/empty": Repository({"README.md": b"nothing here"}),
            "org/broken": Repository({**FILES, "config.json": b"{"}),
            "org/gated": Repository(FILES, gated=True),
            "org/private": Repository(FILES, private=True),
            "org/renamed": Repository({}, moved_to="org/plain"),
            "org/busy": Repository(FILES, status=429),
            "org/down": Repository(FILES, status=503),
        }
    ) as running:
        yield running


def inspect(*arguments: str | Path, endpoint: str = "", token: str = "", output: Path) -> Facts:
    """Runs the command and reads what it leaves. Raises InspectionError with what it says."""
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment |= {"PYTHONPATH": str(REPOSITORY / "operator"), "HF_ENDPOINT": endpoint, "HF_HOME": str(output.parent)}
    if token:
        environment["HF_TOKEN"] = token
    command = [sys.executable, "-m", "vllm_operator", "inspect", *map(str, arguments), f"--output={output}"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert output.exists(), result.stderr
    assert len(output.read_bytes()) <= LONGEST_BYTES
    return decode(output.read_text())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("plain", 138),
        ("renamed", 138),
        ("sharded", 3000),
        ("twice", 3000),
        ("mistral", 138),
        ("unusual", 1000),
        ("modelopt", 138),
        ("pickled", None),
    ],
)
def test_a_model_of_the_hub(served: Hub, tmp_path: Path, name: str, size: int | None) -> None:
    facts = inspect(f"--hub=org/{name}", "--revision=v1", endpoint=served.endpoint, output=tmp_path / "report")
    assert facts.config == NOTED
    assert facts.weights_bytes == size
    assert facts.commit == COMMIT
    assert facts.quantization == ({"quantization": {"quant_algo": "FP8"}} if name == "modelopt" else None)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({"tokenizer_config.json": b"{}"}, False),
        ({"tokenizer_config.json": b'{"chat_template": "{{ messages }}"}'}, True),
        ({"tokenizer_config.json": b"{}", "chat_template.jinja": b"x"}, True),
        ({"tokenizer_config.json": b"{}", "tekken.json": b"{}"}, None),
        ({"tokenizer_config.json": b"["}, None),
    ],
)
def test_whether_there_is_a_chat_template(tmp_path: Path, files: dict[str, bytes], *, found: bool | None) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in {**FILES, **files}.items():
        (folder / name).write_bytes(content)
    assert inspect("--folder", folder, output=tmp_path / "report").chat_template is found
    with hub({"org/model": Repository({**FILES, **files})}) as running:
        facts = inspect("--hub=org/model", endpoint=running.endpoint, output=tmp_path / "report")
    assert facts.chat_template is found


def by_either_way(tmp_path: Path, files: dict[str, bytes]) -> tuple[Facts, Facts]:
    """What is found of a model with these files, in a folder and on the hub."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in {**FILES, **files}.items():
        (folder / name).write_bytes(content)
    found = inspect("--folder", folder, output=tmp_path / "report")
    with hub({"org/model": Repository({**FILES, **files})}) as running:
        return found, inspect("--hub=org/model", endpoint=running.endpoint, output=tmp_path / "report")


@pytest.mark.parametrize(
    ("files", "length"),
    [
        ({}, None),
        ({"sentence_bert_config.json": b'{"max_seq_length": 256, "do_lower_case": false}'}, 256),
        ({"sentence_roberta_config.json": b'{"max_seq_length": 514}'}, 514),
        ({"sentence_xlnet_config.json": b'{"max_seq_length": 1}', "sentence_bert_config.json": b"{}"}, 1),
        ({"sentence_bert_config.json": b'{"a": 1}', "sentence_roberta_config.json": b'{"max_seq_length": 2}'}, None),
        ({"sentence_bert_config.json": b'{"max_seq_length": null}'}, None),
        ({"sentence_bert_config.json": b"[]", "sentence_roberta_config.json": b'{"max_seq_length": 2}'}, 2),
        ({"sentence_bert_config.json": b"null"}, None),
        ({"sentence_bert_config.json": b"["}, None),
        ({"sentence_bert_config.json": b"\xff", "sentence_xlnet_config.json": b'{"max_seq_length": 2}'}, 2),
    ],
)
def test_the_length_that_sentence_transformers_notes(
    tmp_path: Path, files: dict[str, bytes], length: int | None
) -> None:
    assert [facts.max_seq_length for facts in by_either_way(tmp_path, files)] == [length, length]


QWEN = b'"image_processor_type": "Qwen2VLImageProcessorFast"'


@pytest.mark.parametrize(
    ("files", "pixels"),
    [
        ({"preprocessor_config.json": b'{"max_pixels": 1003520, ' + QWEN + b"}"}, 1003520),
        ({"preprocessor_config.json": b'{"size": {"longest_edge": 16777216}, ' + QWEN + b"}"}, 16777216),
        ({"processor_config.json": b'{"image_processor": {"max_pixels": 5, ' + QWEN + b"}}"}, 5),
        ({"preprocessor_config.json": b'{"size": {"longest_edge": 1540}}'}, None),  # a side, of another processor
        ({"preprocessor_config.json": b'{"max_pixels": "many", ' + QWEN + b"}"}, None),
        ({"preprocessor_config.json": b"["}, None),
    ],
)
def test_the_largest_image_that_qwens_processor_makes(tmp_path: Path, files: dict[str, bytes], pixels: int) -> None:
    assert [facts.image_pixels for facts in by_either_way(tmp_path, files)] == [pixels, pixels]


def test_what_vllm_passes_over_notes_no_length(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "sentence_bert_config.json").symlink_to("nowhere")
    (folder / "sentence_roberta_config.json").mkdir()
    assert inspect("--folder", folder, output=tmp_path / "report").max_seq_length is None
    (folder / "sentence_xlnet_config.json").write_text('{"max_seq_length": 2}')
    assert inspect("--folder", folder, output=tmp_path / "report").max_seq_length == 2


def test_weights_are_not_downloaded(served: Hub, tmp_path: Path) -> None:
    served.asked.clear()
    inspect("--hub=org/sharded", endpoint=served.endpoint, output=tmp_path / "report")
    fetched = [
        line for line in served.asked if line.startswith("GET") and ".safetensors" in line and "index" not in line
    ]
    assert fetched
    assert all("bytes=0-" in line for line in fetched)


def test_a_token_opens_a_private_model(served: Hub, tmp_path: Path) -> None:
    facts = inspect("--hub=org/private", endpoint=served.endpoint, token=TOKEN, output=tmp_path / "report")
    assert facts.weights_bytes == 138


@pytest.mark.parametrize(
    ("name", "token", "reason", "words"),
    [
        ("nowhere", "", "ModelNotFound", "check model.uri"),
        ("nowhere", TOKEN, "ModelNotFound", "the token may not read it"),
        ("private", "", "ModelNotFound", "model.tokenSecretRef is not set"),
        ("plain", "hf_old", "HubTokenRefused", "put a valid one into model.tokenSecretRef"),
        ("gated", "", "ModelGated", "model.tokenSecretRef is not set: accept its terms"),
        ("gated", TOKEN, "ModelGated", "the token's account has no access to it: accept its terms"),
        ("empty", "", "NoModelConfig", "has no config.json"),
        ("broken", "", "ModelUnreadable", "config.json is no JSON"),
        ("busy", "", "HubRateLimited", "429"),
        ("down", "", "HubUnreachable", "503"),
    ],
)
def test_what_stands_in_the_way(served: Hub, tmp_path: Path, name: str, token: str, reason: str, words: str) -> None:
    with pytest.raises(InspectionError, match=words) as caught:
        inspect(f"--hub=org/{name}", endpoint=served.endpoint, token=token, output=tmp_path / "report")
    assert caught.value.reason == reason
    assert token == "" or token not in str(caught.value)


def test_a_revision_that_is_not_there(served: Hub, tmp_path: Path) -> None:
    with pytest.raises(InspectionError, match="has no revision v9: check") as caught:
        inspect("--hub=org/plain", "--revision=v9", endpoint=served.endpoint, output=tmp_path / "report")
    assert caught.value.reason == Reason.REVISION_NOT_FOUND


def test_a_hub_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(InspectionError, match="the hub cannot be reached") as caught:
        inspect("--hub=org/plain", endpoint="http://127.0.0.1:9", output=tmp_path / "report")
    assert caught.value.reason == Reason.HUB_UNREACHABLE


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in {**FILES, **PARTS}.items():
        (folder / name).write_bytes(content)
    assert inspect("--folder", folder, output=tmp_path / "report") == Facts(NOTED, None, 3138, None)
    (folder / "model.safetensors.index.json").write_text(json.dumps(INDEX))
    assert inspect("--folder", folder, output=tmp_path / "report") == Facts(NOTED, None, 3000, None)
    (folder / "consolidated.safetensors").write_bytes(FILES["model.safetensors"])
    assert inspect("--folder", folder, output=tmp_path / "report") == Facts(NOTED, None, 138, None)


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        (None, "ModelNotFound", "there is no folder model in the volume"),
        ({"notes.txt": b""}, "NoModelConfig", "no config.json: name the folder of the model$"),
        ({"config.json": b"[]"}, "ModelUnreadable", "no JSON object"),
        ({**FILES, "model.safetensors": b"cut"}, "ModelUnreadable", "model.safetensors has no safetensors header"),
    ],
)
def test_a_folder_without_a_model(tmp_path: Path, files: dict[str, bytes] | None, reason: str, words: str) -> None:
    folder = tmp_path / "model"
    if files is not None:
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
    with pytest.raises(InspectionError, match=words) as caught:
        inspect("--folder", folder, output=tmp_path / "report")
    assert caught.value.reason == reason


def test_a_long_list_of_modules_fits() -> None:
    """Unquantized modules as large mixtures of experts name them: by layer and by kind, or sorted."""
    by_layer = [f"model.layers.{layer}.mlp.experts.{expert}.gate" for layer in range(61) for expert in range(256)]
    by_name = sorted(f"model.layers.{layer}.self_attn.{part}_proj" for layer in range(120) for part in "qkvo")
    odd = ["lm_head", "re:.*mlp.gate$", "block.007.x", "block.0", *(f"a{i}.{i * 37 % 101}b" for i in range(60))]
    facts = Facts({"quantization_config": {"ignore": by_layer, "others": by_name, "odd": odd}}, weights_bytes=1)
    assert decode(encode(facts)) == facts
    with pytest.raises(InspectionError, match="too large"):
        encode(Facts({"noise": os.urandom(4000).hex()}))


def test_a_job_that_says_something_else() -> None:
    with pytest.raises(InspectionError, match="it said: Killed"):
        decode("Traceback\nKilled\n")


def test_a_job_of_an_earlier_version_is_understood() -> None:
    with pytest.raises(InspectionError, match="put a valid one") as caught:
        decode('{"reason": "TokenRefused", "message": "put a valid one into the Secret"}')
    assert caught.value.reason is Reason.HUB_TOKEN_REFUSED
