"""What our API may say to vLLM is what the pinned vLLM understands, and nothing of it loads code or names files."""

import re
from dataclasses import asdict
from typing import Any, get_args

import pytest

from support.real_vllm.environment import Parser
from vllm_operator.api import KIND, environment, flags, loading, tuning, vocabulary
from vllm_operator.api.flags import allowed
from vllm_operator.api.flags.allowed import LEFT_OUT
from vllm_operator.api.flags.catalogue import GONE_SAYS
from vllm_operator.api.flags.facts import facts
from vllm_operator.api.flags.finding import UnknownFlagError, find
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.api.speculation import Speculative
from vllm_operator.api.storage import BUCKETS
from vllm_operator.cli.validation import faults

_MODEL = {"model": {"uri": "hf://a/b"}}
# Words of a flag's name that stand for code, files, or what the operator owns.
DANGEROUS = re.compile(
    r"(^|-)(cls|class|plugins?|path|dir|file|module|middleware|processors|load-format|config-format|overrides"
    r"|transfer-config|extra-config|ssl|host|port|uds|root)(-|$)"
)
# Free text and JSON that was read in vLLM's source: no value of theirs is imported, opened or unpickled.
REVIEWED = {
    "--allowed-headers",  # what browsers may send, as a list of words
    "--allowed-methods",
    "--allowed-origins",
    "--custom-histogram-buckets",  # numbers
    "--default-chat-template-kwargs",  # variables of the sandboxed template
    "--fingerprint-value",  # a word in answers
    "--limit-mm-per-prompt",  # counts
    "--otlp-traces-endpoint",  # where spans are sent
    "--override-generation-config",  # sampling parameters; all others are dropped
    "--pooler-config",  # a dataclass of numbers and words
    "--response-role",  # a word in answers
    "--root-path",  # what a proxy puts before the paths of requests
    "--show-hidden-metrics-for-version",  # a version
}


def test_flags_exist_under_their_full_names(vllm: Parser) -> None:
    known = vllm.facts["flags"]
    for flag in (*flags.EXTRA_VALUE_FLAGS, *flags.EXTRA_SWITCH_FLAGS):
        assert flag in known
        assert known[flag]["switch"] == (flag in flags.EXTRA_SWITCH_FLAGS), flag
    for flag in flags.field_of_flag(InferenceServiceSpec):
        assert flag in known


def test_flags_of_fields_are_not_on_the_list(vllm: Parser) -> None:
    known = vllm.facts["flags"]
    listed = {known[flag]["dest"] for flag in (*flags.EXTRA_VALUE_FLAGS, *flags.EXTRA_SWITCH_FLAGS)}
    ours = {known[flag]["dest"] for flag in flags.field_of_flag(InferenceServiceSpec)}
    assert not listed & ours


def test_flags_that_load_code_are_not_on_the_list(vllm: Parser) -> None:
    known = vllm.facts["flags"]
    dangerous = {flag for flag in known if DANGEROUS.search(flag.removeprefix("--"))}
    assert dangerous > {"--middleware", "--worker-cls", "--kv-transfer-config", "--ssl-keyfile", "--host"}
    # Those of formats take words that are known, and a name of code is none of them.
    by_words = {"--load-format", "--config-format"}
    assert by_words <= {*flags.EXTRA_CHOICE_FLAGS}
    # A path of requests, and a number of labels.
    harmless = {"--root-path", "--max-lora-cls-labels"}
    assert not dangerous & {*flags.EXTRA_VALUE_FLAGS, *flags.EXTRA_SWITCH_FLAGS} - by_words - harmless


def test_load_formats_are_those_of_vllm(vllm: Parser) -> None:
    assert set(loading.LOAD_FORMATS) == set(vllm.facts["loadFormats"])


# Of a model from the hub, what each option stands for in a loader.
_OPTIONS = {
    "concurrency": ("concurrency", 8),
    "distributed": ("distributed", True),
    "memory_limit": ("memoryLimit", "8Gi"),
    "num_threads": ("numThreads", 8),
}


@pytest.mark.parametrize("uri", ["hf://org/name", "pvc://claim/name", "s3://bucket/name", "gs://bucket/name"])
def test_options_are_taken_only_beside_a_load_format_whose_loader_takes_them(vllm: Parser, uri: str) -> None:
    for name, (option, value) in _OPTIONS.items():
        taken = {said for said in (None, *loading.ALLOWED) if accepted(uri, said, {option: value})}
        assert taken or (name == "num_threads" and uri.startswith(BUCKETS))
        for said in taken:
            meant = "runai_streamer" if said in (None, "auto") and uri.startswith(BUCKETS) else said or "auto"
            assert name in vllm.facts["loadFormats"][meant], (uri, said, name)


def accepted(uri: str, load_format: str | None, options: dict[str, Any]) -> bool:
    """Whether the API server takes a load format with options, and the same whichever way the format is said."""
    model = {"uri": uri, "loaderOptions": options}
    by_field = {"model": {**model, "loadFormat": load_format} if load_format else model}
    by_flag = {"model": model, "extraArgs": [f"--load-format={load_format}"] if load_format else ["--seed=1"]}
    said = [faults({"kind": KIND, "metadata": {"name": "a"}, "spec": spec}, KIND) for spec in (by_field, by_flag)]
    assert bool(said[0]) == bool(said[1]), said
    return not said[0]


def test_no_other_flag_takes_a_path_or_a_name_of_code(vllm: Parser) -> None:
    for flag in set(flags.EXTRA_VALUE_FLAGS) - set(flags.EXTRA_CHOICE_FLAGS) - REVIEWED:
        for value in ("/models/claim/evil.py", "evil.Class", '{"module": "evil"}'):
            assert "error" in vllm.parse(["model", f"{flag}={value}"]), flag


_NUMBERS = (
    "4", "-4", "+4", " 4", "4_0", "4_", "0x4", "0.5", "-.5", "5.", "1e3", "1E-3", "e3", "nan", "-Inf", "infinity", "4k",
    "4K", "1.5k", "1.5K", "4Gi", "4GiB", "abc", "image=4", "4=4", "none",
)  # fmt: skip
_JSON = (
    "{}", " {} ", '{"image": 4}', '{\n"image":4}', '{"a": {"b": "="}}', "{image: 4}", "{'image': 4}", '{"image": 4',
    "image=4", "foo", "*", '["*"]', "[1, 2.5]", "[*]", '"*"', "true", "a.b",
)  # fmt: skip


def taken_by(vllm: Parser, argument: str) -> tuple[bool, bool]:
    """Whether our rules on values and whether vLLM's parser take an argument."""
    said = faults({"kind": KIND, "metadata": {"name": "a"}, "spec": {**_MODEL, "extraArgs": [argument]}}, KIND)
    return not any(" takes " in one for one in said), "error" not in vllm.parse(["model", argument])


def test_numbers_of_flags_are_all_that_the_parser_takes(vllm: Parser) -> None:
    for flag in (*allowed.INTEGERS, *allowed.SIZES, *allowed.FRACTIONS):
        for value in _NUMBERS:
            ours, theirs = taken_by(vllm, f"--{flag}={value}")
            assert ours == theirs, (flag, value)


def test_json_of_flags_is_all_that_the_parser_takes_and_is_of_its_kind(vllm: Parser) -> None:
    """Of its kind by the type that vLLM's config has; it takes a word in quotes for a list of one."""
    for flag in (*allowed.OBJECTS, *allowed.LISTS):
        begins = {"{": ("{",), "[": ("[", '"')}[vllm.facts["begins"][vllm.facts["flags"][f"--{flag}"]["dest"]]]
        for value in _JSON:
            ours, theirs = taken_by(vllm, f"--{flag}={value}")
            wanted = value.strip().startswith(begins)
            assert ours >= (theirs and wanted), (flag, value)
            assert not ours or wanted, (flag, value)


@pytest.mark.parametrize("value", ["None", "null"])
def test_what_the_parser_reads_as_left_out_is_taken(vllm: Parser, value: str) -> None:
    for flag in (*allowed.INTEGERS, *allowed.SIZES, *allowed.FRACTIONS, *allowed.OBJECTS, *allowed.LISTS):
        ours, theirs = taken_by(vllm, f"--{flag}={value}")
        assert ours >= theirs, flag


def test_the_catalogue_is_what_the_parser_says(vllm: Parser) -> None:
    """A difference is what a new vLLM changed: names, short forms, kinds, defaults, choices."""
    kept, current = facts(), {flag["name"]: flag for flag in vllm.facts["catalogue"]}
    assert sorted(kept) == sorted(current), "run `make engine-flags`, and say in api/flags/ what becomes of each"
    for name, fact in kept.items():
        assert asdict(fact) == {**current[name], "also": tuple(fact.also), "choices": tuple(current[name]["choices"])}
        assert list(fact.also) == current[name]["also"]


def test_flags_that_are_gone_are_gone(vllm: Parser) -> None:
    for flag in GONE_SAYS:
        assert flag not in vllm.facts["flags"]


def test_words_of_flags_are_all_that_the_parser_takes_but_those_left_out(vllm: Parser) -> None:
    known = {flag: set(fact.choices) for flag, fact in facts().items() if fact.choices}
    known["--attention-backend"] = set(vllm.facts["attentionBackends"])
    known["--tokenizer-mode"] = set(vllm.facts["tokenizerModes"])
    for flag, words in flags.EXTRA_CHOICE_FLAGS.items():
        if flag in known:
            assert {*words, *LEFT_OUT.get(flag.removeprefix("--"), ())} == known[flag], flag


def test_a_spelling_leads_to_the_flag_that_the_parser_takes_it_for(vllm: Parser) -> None:
    for written, value in (
        ("--max_num_s", "8"),
        ("-tp", "2"),
        ("--kv-cache-memory", "5"),
        ("--no-enable-prefix-c", ""),
    ):
        namespace = vllm.parse(["model", written, *([value] if value else [])])
        try:
            entry = find(written).entry
        except UnknownFlagError:
            assert "ambiguous" in namespace["error"]
        else:
            dest = vllm.facts["flags"][entry.name]["dest"]
            assert str(namespace[dest]) == (value or "False")


def test_words_of_flags_are_choices_of_the_parser(vllm: Parser) -> None:
    for flag, words in flags.EXTRA_CHOICE_FLAGS.items():
        for word in words:
            namespace = vllm.parse(["model", f"{flag}={word}"])
            assert "error" not in namespace, namespace
        if choices := vllm.facts["flags"][flag]["choices"]:
            assert set(words) <= set(choices), flag


def test_words_that_the_parser_does_not_check(vllm: Parser) -> None:
    backends, modes = vllm.facts["attentionBackends"], vllm.facts["tokenizerModes"]
    assert set(flags.EXTRA_CHOICE_FLAGS["--attention-backend"]) < set(backends)
    assert "CUSTOM" in backends
    assert set(flags.EXTRA_CHOICE_FLAGS["--mm-encoder-attn-backend"]) < set(backends)
    assert set(flags.EXTRA_CHOICE_FLAGS["--tokenizer-mode"]) <= set(modes)


def test_an_abbreviation_would_reach_the_flag(vllm: Parser) -> None:
    """Why the list is of full names that are allowed, and not of names that are not."""
    assert vllm.parse(["model", "--middlewar=evil"])["middleware"] == ["evil"]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--dtype", vocabulary.DTYPES),
        ("--kv-cache-dtype", vocabulary.KV_CACHE_DTYPES),
        ("--max-lora-rank", vocabulary.LORA_RANKS),
    ],
)
def test_words_of_fields_are_choices_of_the_parser(vllm: Parser, flag: str, words: tuple[str | int, ...]) -> None:
    assert {str(word) for word in words} == set(vllm.facts["flags"][flag]["choices"])


def test_quantizations(vllm: Parser) -> None:
    """`online` wants a configuration that the API has no field for."""
    assert set(vocabulary.QUANTIZATIONS) == set(vllm.facts["quantizations"]) - {"online"}
    assert not set(vocabulary.GONE_QUANTIZATIONS) & set(vllm.facts["quantizations"])


def test_speculative_methods(vllm: Parser) -> None:
    """custom_class loads code by its name; extract_hidden_states writes files."""
    known = set(vllm.facts["speculativeMethods"])
    assert set(vocabulary.SPECULATIVE_METHODS) == known - {"custom_class", "extract_hidden_states"}


def test_words_and_keys_of_speculation(vllm: Parser) -> None:
    """CUSTOM is code by its name; synthetic takes wrong tokens for right ones."""
    assert set(Speculative.model_fields) <= set(vllm.facts["speculativeKeys"])
    assert set(vocabulary.ATTENTION_BACKENDS) == set(vllm.facts["attentionBackends"]) - {"CUSTOM"}
    assert set(vocabulary.MOE_BACKENDS) == set(vllm.facts["flags"]["--moe-backend"]["choices"])
    assert set(get_args(vocabulary.DraftSampleMethod)) == set(vllm.facts["draftSampleMethods"])
    assert set(get_args(vocabulary.RejectionSampleMethod)) == set(vllm.facts["rejectionSampleMethods"]) - {"synthetic"}


def test_words_of_tuning_are_all_that_vllm_has_but_code_and_cpus(vllm: Parser) -> None:
    known = vllm.facts["tuning"]
    assert set(vocabulary.PASSES) == set(known["passes"])
    assert set(get_args(vocabulary.MlaPrefillBackend)) == set(known["mlaPrefillBackends"]) - {
        "CUSTOM", "CPU", "ZEN_CPU"
    }  # fmt: skip
    for model, key, words in (
        (tuning.Compilation, "mode", known["modes"]),
        (tuning.Compilation, "cudagraph_mode", known["cudagraphModes"]),
        (tuning.Attention, "indexer_kv_dtype", known["indexerTypes"]),
        (tuning.Attention, "minimax_m3_msa_decode_backend", known["msaBackends"]),
        (tuning.StructuredOutputs, "backend", known["structuredOutputs"]),
    ):
        literal, _ = get_args(model.model_fields[key].annotation)
        assert set(get_args(literal)) == set(words), key


def test_block_sizes(vllm: Parser) -> None:
    for size in vocabulary.BLOCK_SIZES:
        assert vllm.parse(["model", f"--block-size={size}"])["block_size"] == size


def test_variables_of_vllm_that_env_may_set_exist(vllm: Parser) -> None:
    assert set(environment.OF_VLLM) <= set(vllm.facts["variables"])


def test_variables_that_are_gone_are_gone(vllm: Parser) -> None:
    gone = {name for names in environment.GONE.values() for name in names}
    assert not gone & set(vllm.facts["variables"])
    for instead in environment.GONE:
        assert {*re.findall(r"--[a-z0-9-]+", instead)} <= {*flags.EXTRA_VALUE_FLAGS}


def test_no_variable_that_env_may_set_is_a_path_or_a_name_of_code(vllm: Parser) -> None:
    owned = re.compile(r"_(PATH|DIR|FOLDER|ROOT|HOME|PLUGINS|LOGGING_STREAM|HOST|IP|PORT|URL|SERVER|CONFIG|TOKEN|KEY)$")
    dangerous = {name for name in vllm.facts["variables"] if owned.search(name)}
    assert dangerous > {"VLLM_PLUGINS", "VLLM_LOGGING_CONFIG_PATH", "VLLM_PORT", "VLLM_RPC_BASE_PATH"}
    assert not dangerous & set(environment.OF_VLLM)
