"""The table of load formats is what the fields, extraArgs and the documents say."""

from itertools import product
from typing import Any

import pytest

from documents.load_formats import PAGE, page
from vllm_operator.api import KIND
from vllm_operator.api.flags import EXTRA_CHOICE_FLAGS
from vllm_operator.api.loading import ALLOWED, LOAD_FORMATS, OFFLINE, REFUSED, is_offline
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.assess.consistency import broken
from vllm_operator.cli.validation import faults


def test_the_table_in_the_page_is_fresh() -> None:
    text = PAGE.read_text()
    assert text == page(text), "docs/weights.md is stale: run `make docs`"


def test_every_format_is_served_or_says_what_to_do() -> None:
    assert {*ALLOWED, *REFUSED} == set(LOAD_FORMATS)
    assert {"pt", "tensorizer", "modelexpress", "ipc_cache"} <= set(REFUSED)
    assert all(": " in instead or "use " in instead for instead in REFUSED.values())


def test_extra_args_pass_no_format_that_is_refused_but_mistrals_which_has_a_field() -> None:
    assert set(EXTRA_CHOICE_FLAGS["--load-format"]) & set(REFUSED) == {"mistral"}


_REF = {"configMapKeyRef": {"name": "settings", "key": "offline"}}
# Variables of env, and whether huggingface_hub asks no hub with them.
_OFFLINE: list[tuple[dict[str, Any], bool]] = [
    *(({"name": name, "value": "1"}, True) for name in OFFLINE),
    *(({"name": "HF_HUB_OFFLINE", "value": value}, True) for value in ("on", "ON", "Yes", "true")),
    *(({"name": "HF_HUB_OFFLINE", "value": value}, False) for value in ("0", "", "off", "no", "False", "2", " 1")),
    ({"name": "TRANSFORMERS_OFFLINE", "value": "0"}, False),
    ({"name": "HF_HUB_OFFLINE", "valueFrom": _REF}, True),
    ({"name": "HF_HUB_VERBOSITY", "value": "1"}, False),
]


@pytest.mark.parametrize(("variable", "offline"), _OFFLINE)
def test_a_variable_counts_by_its_value(variable: dict[str, Any], *, offline: bool) -> None:
    assert is_offline(variable["name"], variable.get("value")) == offline
    model = {"uri": "hf://a/b", "loadFormat": "sharded_state"}
    spec = InferenceServiceSpec.model_validate({"model": model, "env": [variable]})
    assert bool(broken(spec)) != offline


# Each way to say a load format; with a class, a service may get extraArgs that it did not write.
_WAYS: list[dict[str, Any]] = [
    {},
    {"model": {"format": "hf"}},
    {"model": {"format": "mistral"}},
    {"model": {"format": "hf", "loadFormat": "runai_streamer"}},
    *({"model": {"loadFormat": name}} for name in ALLOWED),
    *({"extraArgs": [f"--load-format={name}"]} for name in (*ALLOWED, "mistral")),
    {"extraArgs": ["--safetensors-load-strategy=eager"]},
    {"extraArgs": ["--safetensors-load-strategy=lazy"]},
    *({"model": {"loadFormat": "sharded_state"}, "env": [variable]} for variable, _ in _OFFLINE),
]
_OPTIONS: list[dict[str, Any]] = [
    {},
    {"concurrency": 8},
    {"memoryLimit": "8Gi"},
    {"distributed": False},
    {"numThreads": 8},
]
_URIS = ["hf://a/b", "pvc://a/b", "s3://bucket/b", "gs://bucket/b", "oci://registry.example.com/b:1"]


@pytest.mark.parametrize("uri", _URIS)
def test_the_api_server_and_the_check_of_classes_say_the_same_of_every_load_format(uri: str) -> None:
    for way, options in product(_WAYS, _OPTIONS):
        model = {"uri": uri, **way.get("model", {}), **({"loaderOptions": options} if options else {})}
        spec = {**way, "model": model}
        said = faults({"kind": KIND, "metadata": {"name": "a"}, "spec": spec}, KIND)
        sentence = broken(InferenceServiceSpec.model_validate(spec))
        assert bool(said) == bool(sentence), (spec, said, sentence)
        assert any(str(sentence) in one for one in said) or not said
