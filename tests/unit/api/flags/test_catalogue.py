"""Every flag of vLLM has one standing, and what is said of it leads somewhere."""

import re

import pytest

from vllm_operator.api.base import said_of
from vllm_operator.api.expressions import evaluate
from vllm_operator.api.fields import fields
from vllm_operator.api.flags import extra_args_rules
from vllm_operator.api.flags.allowed import EXTRA_SWITCH_FLAGS, EXTRA_VALUE_FLAGS, LEFT_OUT, REQUEST_LOGS
from vllm_operator.api.flags.catalogue import ALLOWED, GONE_SAYS, OWNED_SAYS, REFUSED_SAYS, Standing, said, standings
from vllm_operator.api.flags.facts import facts
from vllm_operator.api.flags.finding import CATALOGUE, UnknownFlagError, find
from vllm_operator.api.flags.standings import MEANT_BY_FIELD
from vllm_operator.api.spec import InferenceServiceSpec

PATHS = {field.path for field in fields(InferenceServiceSpec)}


@pytest.mark.parametrize("name", sorted({*facts(), *GONE_SAYS, *OWNED_SAYS, *REFUSED_SAYS, *ALLOWED}))
def test_a_flag_has_one_standing(name: str) -> None:
    found = standings(InferenceServiceSpec, name)
    assert len(found) == 1, f"{name} is {found}: take it out of all but one of the spec, allowed.py and standings.py"
    assert (found == [Standing.GONE]) != (name in facts()), f"{name}: is it gone from vLLM or not?"


def test_what_is_said_of_flags_names_fields_and_flags_that_there_are() -> None:
    for entry in CATALOGUE.values():
        words = re.findall(r"(?<![\w.-])(?:[a-z]\w*\.)*[a-z]+(?:[A-Z]\w+)+(?:\.\w+)*", entry.says)
        paths = [word for word in words if word not in ("extraArgs", "minReplicas", "vLLM") and "_" not in word]
        assert [path for path in paths if path not in PATHS] == [], entry.name
        for flag in re.findall(r"--[a-z][a-z0-9-]*", entry.says):
            assert flag in ALLOWED, f"{entry.name}: {flag}"
    assert set(MEANT_BY_FIELD.values()) <= PATHS


def test_what_is_refused_says_what_to_do() -> None:
    for entry in CATALOGUE.values():
        if entry.standing in (Standing.OWNED, Standing.REFUSED, Standing.GONE):
            assert re.search(r"leave it out|use |put |write |build |end TLS|suspend|a flag or field", entry.says), (
                entry.name
            )
            assert not entry.says.endswith("."), entry.name


def test_rows_about_words_and_settings_are_about_allowed_flags() -> None:
    assert {*(f"--{name}" for name in LEFT_OUT), *REQUEST_LOGS} <= ALLOWED


@pytest.mark.parametrize(
    ("written", "spelled", "off"),
    [
        ("--max-num-seqs", "--max-num-seqs", False),
        ("--max_num_seqs", "--max-num-seqs", False),
        ("--kv-cache-memory", "--kv-cache-memory-bytes", False),
        ("--max-num-batched-token", "--max-num-batched-tokens", False),
        ("--tensor-parallel", "--tensor-parallel-size", False),
        ("--device-memory-utilization", "--gpu-memory-utilization", False),
        ("--no-enable-prefix-caching", "--no-enable-prefix-caching", True),
        ("--no_enable_prefix_cach", "--no-enable-prefix-caching", True),
        ("-tp", "--tensor-parallel-size", False),
        ("-ep", "--enable-expert-parallel", False),
        ("-q", "--quantization", False),
        ("-dcp", "--decode-context-parallel-size", False),
        ("--disable-log-requests", "--disable-log-requests", False),
        ("--disable_log_req", "--disable-log-requests", False),
    ],
)
def test_a_flag_is_found_by_its_spellings(written: str, spelled: str, *, off: bool) -> None:
    found = find(written)
    assert (found.spelled, found.off, found.keys) == (spelled, off, ())


def test_dots_lead_into_the_json_of_a_flag() -> None:
    found = find("--speculative_config.draft_model.name")
    assert (found.entry.name, found.keys, found.adds) == ("--speculative-config", ("draft_model", "name"), False)
    found = find("-cc.custom_ops+")
    assert (found.entry.name, found.keys, found.adds) == ("--compilation-config", ("custom_ops",), True)


def test_a_level_of_optimization_has_a_spelling_of_its_own() -> None:
    assert [(find(one).entry.name, find(one).value) for one in ("-O", "-O3")] == [
        ("--optimization-level", None),
        ("--optimization-level", "3"),
    ]


def test_a_beginning_is_a_flag_that_there_is_before_one_that_is_gone() -> None:
    """--swap- could only be the one that is gone; --enable-lora begins --enable-lora-bias too."""
    assert find("--swap").entry.standing == Standing.GONE
    assert find("--enable-lora").spelled == "--enable-lora"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("--max-num", "--max-num could be --max-num-active-seqs or --max-num-batched-tokens or "),
        ("--max-num-s", "--max-num-s could be --max-num-scheduled-tokens or --max-num-seqs: write the full name"),
        ("--no-such-flag", "--no-such-flag is not a flag of vLLM "),
        ("-x", "-x is not a flag of vLLM "),
        ("--", "-- is not a flag of vLLM "),
    ],
)
def test_what_is_no_flag_or_several_is_said(written: str, says: str) -> None:
    with pytest.raises(UnknownFlagError) as raised:
        find(written)
    assert says in str(raised.value)


def test_what_followed_flags_that_are_gone() -> None:
    """So that what stands after a switch is not taken for its value."""
    names = ("disable-log-requests", "swap-space", "cuda-graph-sizes", "rope-scaling")
    assert [CATALOGUE[f"--{name}"].kind for name in names] == ["switch", "value", "words", "JSON"]
    assert find("--no-disable-log-requests").off


def test_sentences_begin_with_what_was_written() -> None:
    assert said("--no-enforce-eager", CATALOGUE["--enforce-eager"]) == (
        "--no-enforce-eager is set by spec.enforceEager: use that field"
    )
    assert said("--disable-log-requests", CATALOGUE["--disable-log-requests"]).startswith(
        "--disable-log-requests is gone from vLLM 0.32: "
    )
    assert said("--ssl-keyfile", CATALOGUE["--ssl-keyfile"]).startswith("--ssl-keyfile is not for pods")
    assert said("--seed", CATALOGUE["--seed"]) == ""


def messages(item: str) -> list[str]:
    """What the API server says of one item of extraArgs."""
    rules, _ = extra_args_rules(InferenceServiceSpec)
    wrong = [rule for rule in rules if not evaluate(rule["rule"], item)]
    return [
        str(evaluate(rule["messageExpression"], item)) if "messageExpression" in rule else rule["message"]
        for rule in wrong
    ]


def test_each_flag_that_is_not_passed_on_is_told_its_own_sentence() -> None:
    for entry in CATALOGUE.values():
        if entry.standing != Standing.ALLOWED:
            for spelling in (entry.name, *(one for one in entry.also if one.startswith("--"))):
                assert messages(f"{spelling}=1") == [said(spelling, entry)]


def test_a_switch_is_passed_on_in_the_forms_that_vllm_has() -> None:
    for name in sorted(name for name in ALLOWED if name in EXTRA_SWITCH_FLAGS):
        off = f"--no-{name.removeprefix('--')}"
        assert messages(name) == []
        assert (messages(off) == []) == (off in EXTRA_SWITCH_FLAGS) == (facts()[name].negative == off)
        assert "this flag is a switch" in messages(f"{name}=true")[0]
    for name in EXTRA_VALUE_FLAGS:
        assert messages(f"--no-{name.removeprefix('--')}=1") != []


@pytest.mark.parametrize("written", ["--a|b", "--uds|--grpc", "--uds=|", "--x~", "--seed |"])
def test_a_name_that_is_none_cuts_no_sentence_short(written: str) -> None:
    (message,) = messages(written)
    assert message.endswith(("docs/flags.md has them all", "leave it out", "as an item of its own"))


def test_a_sentence_is_found_by_each_of_its_names() -> None:
    found = said_of({"a": "it's one = 1", "b": "two", "c": "it's one = 1"}, "self", "'none of ' + self")
    assert [evaluate(found, name) for name in ("a", "b", "c", "", "ab", "b|", "it's")] == [
        "it's one = 1", "two", "it's one = 1", "none of ", "none of ab", "none of b|", "none of it's",
    ]  # fmt: skip
    assert found.count("s one = 1") == 1
    with pytest.raises(ValueError, match="ends at"):
        said_of({"a": "one |two"}, "self", "''")
