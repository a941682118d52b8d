"""What `kubectl vllm batch run` makes of its options, and what it does not take."""

from pathlib import Path

import pytest

from vllm_operator.api import BATCH_KIND
from vllm_operator.cli.batch_run.submission import INPUT_BYTES, Submission, submission
from vllm_operator.cli.fleet.client import AskedWrongError
from vllm_operator.cli.options import command_line
from vllm_operator.cli.validation import faults

MODEL = ["--model=hf://org/name", "--product=NVIDIA-L4"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "My questions.jsonl"
    path.write_text('{"custom_id": "ä"}\n')
    return path


def asked(*words: str | Path) -> Submission:
    options = ["batch", "run", "-o", "out.jsonl", *(str(word) for word in words)]
    return submission(command_line("kubectl-vllm").parse_args(options))


def test_a_small_file_is_a_config_map_and_the_output_has_a_claim_of_its_own(source: Path) -> None:
    needs, batch = asked("-f", source, "--model=hf://org/name", "--product=NVIDIA-L4", "--gpus=2", "--skip-invalid")
    name = batch["metadata"]["name"]
    assert name.startswith("my-questions-")
    config_map, claim = needs
    assert config_map["data"] == {"in.jsonl": '{"custom_id": "ä"}\n'}
    assert claim["metadata"]["name"] == f"{name}-output"
    assert batch["spec"] == {
        "template": {
            "model": {"uri": "hf://org/name"},
            "accelerator": {"product": "NVIDIA-L4"},
            "tensorParallelSize": 2,
        },
        "input": {"configMapKeyRef": {"name": config_map["metadata"]["name"], "key": "in.jsonl"}},
        "output": {"uri": f"pvc://{name}-output/out"},
        "onInvalid": "Skip",
        "ttlSecondsAfterFinished": 86400,
    }
    assert faults(batch, BATCH_KIND) == []


def test_a_service_lends_its_model_and_a_large_input_lies_on_a_claim() -> None:
    words = ["--input=pvc://data/2026.jsonl", "--service=llama", "--claim=pvc://data/out", "--parallelism=4"]
    needs, batch = asked(*words, "--name=nightly")
    assert needs == []
    assert batch["metadata"] == {"name": "nightly"}
    assert batch["spec"]["serviceRef"] == {"name": "llama"}
    assert batch["spec"]["parallelism"] == 4


def test_every_batch_has_a_name_of_its_own() -> None:
    words = ["--input=pvc://data/2026.jsonl", "--service=llama", "--claim=pvc://data/out"]
    names = {asked(*words).batch["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith("batch-2026-") for name in names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--input=pvc://data/in.jsonl", *MODEL], "--input needs --claim pvc://claim/folder"),
        (["--input=pvc://data/in", "--claim=pvc://data/out", *MODEL], "for a folder of files, apply a manifest"),
        (["--input=in.jsonl", "--claim=pvc://data/out", *MODEL], "must be pvc://claim or pvc://claim/path"),
        (["--input=s3://data/in.jsonl", "--claim=pvc://data/out", *MODEL], "s3:// needs a manifest that says how"),
        (["-f", "FILE", "--claim=s3://data/out", *MODEL], "s3:// needs a manifest that says how the bucket is reached"),
        (["-f", "FILE", *MODEL, "--parallelism=2"], "several pods need --claim pvc://claim/folder"),
        (["-f", "FILE", *MODEL, "--parallelism=0"], "should be greater than or equal to 1"),
        (["-f", "FILE", "--model=org/name"], "must be hf://organisation/name"),
        (["-f", "FILE", "--service=llama", "--gpus=2", "--product=A"], "leave out --product, --gpus"),
        (["-f", "FILE", *MODEL, "--name=A_B"], "metadata.name must be a DNS-1035 label"),
        (["-f", "/nowhere.jsonl", *MODEL], "cannot read /nowhere.jsonl: No such file or directory"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(source: Path, words: list[str], said: str) -> None:
    with pytest.raises(AskedWrongError) as error:
        asked(*(source if word == "FILE" else word for word in words))
    assert said in str(error.value)
    assert error.value.exit_status == 2


def test_a_file_that_no_config_map_holds(source: Path) -> None:
    source.write_bytes(b"a" * INPUT_BYTES)
    assert asked("-f", source, *MODEL).needs
    source.write_bytes(b"a" * (INPUT_BYTES + 1))
    with pytest.raises(AskedWrongError, match=r"more than 1 MiB: copy it to a claim, and use --input pvc://claim/path"):
        asked("-f", source, *MODEL)
    source.write_bytes(b"\xff\n")
    with pytest.raises(AskedWrongError, match=r"is not UTF-8"):
        asked("-f", source, *MODEL)
