"""The flag of each field stands on the field, and whether it rolls the pods."""

from typing import get_args

from vllm_operator.api.base import ApiModel, optional, required
from vllm_operator.api.fields import Flag, Passed, SpecField, fields
from vllm_operator.api.flags import EXTRA_CHOICE_FLAGS, EXTRA_SWITCH_FLAGS, EXTRA_VALUE_FLAGS, field_of_flag
from vllm_operator.api.spec import InferenceServiceSpec

FIELDS = list(fields(InferenceServiceSpec))


class Inner(ApiModel):
    """Holds a switch, and a field that rolls nothing."""

    cold_start: bool | None = optional("A switch.", True, flag="cold-start")
    note: str | None = optional("Rolls nothing.", "x", rolls=False)


class Outer(ApiModel):
    """Holds an object, a field with two flags, and an object that rolls nothing."""

    deep: Inner | None = optional("An object.", {"note": "x"}, flag=Flag("deep", "presence"))
    parser: str = required("Two flags.", "x", flag=("parser", Flag("auto-parser", "otherwise")))
    still: Inner | None = optional("Rolls nothing.", {"note": "x"}, rolls=False)


def test_fields_come_in_order_with_what_they_say() -> None:
    assert list(fields(Outer)) == [
        SpecField("deep", ("deep",), (Flag("deep", "presence"),), rolls=True),
        SpecField("deep.coldStart", ("deep", "cold_start"), (Flag("cold-start"),), rolls=True),
        SpecField("deep.note", ("deep", "note"), (), rolls=False),
        SpecField("parser", ("parser",), (Flag("parser"), Flag("auto-parser", "otherwise")), rolls=True),
        SpecField("still", ("still",), (), rolls=False),
        SpecField("still.coldStart", ("still", "cold_start"), (Flag("cold-start"),), rolls=False),
        SpecField("still.note", ("still", "note"), (), rolls=False),
    ]


def test_a_field_within_nothing_has_no_value() -> None:
    deep, cold_start, *_ = fields(Outer)
    assert cold_start.value_in(Outer.model_validate({"parser": "x"})) is None
    outer = Outer.model_validate({"parser": "x", "deep": {"coldStart": False}})
    assert (deep.value_in(outer), cold_start.value_in(outer)) == (Inner(cold_start=False), False)


def test_a_flag_belongs_to_one_field_and_is_not_in_extra_args() -> None:
    flags = [flag for field in FIELDS for flag in field.flags]
    names = [f"--{flag.name}" for flag in flags]
    for name in names:
        assert names.count(name) == 1, f"{name} stands on two fields"
    shared = {f"--{flag.name}" for flag in flags if flag.shared}
    assert shared <= {*EXTRA_CHOICE_FLAGS}, "extraArgs passes such a flag with words that are known"
    for name in set(names) - shared:
        assert name not in (*EXTRA_VALUE_FLAGS, *EXTRA_SWITCH_FLAGS), (
            f"{name} is set by spec.{field_of_flag(InferenceServiceSpec)[name]}: take it out of api/flags.py"
        )


def test_a_flag_is_told_by_its_field_and_a_switch_by_both_its_forms() -> None:
    carried = field_of_flag(InferenceServiceSpec)
    assert carried["--gpu-memory-utilization"] == "kvCache.gpuMemoryUtilizationPercent"
    assert carried["--enforce-eager"] == carried["--no-enforce-eager"] == "enforceEager"
    assert "--no-block-size" not in carried


def test_every_way_to_pass_a_value_is_used() -> None:
    assert {flag.passed for field in FIELDS for flag in field.flags} == set(get_args(Passed))
