"""Which variables `env` may set, and what a user reads of the others."""

import pytest
from pydantic import ValidationError

from vllm_operator.api.base import RULES
from vllm_operator.api.environment import ALLOWED, CREDENTIALS, INSTEAD, EnvVar, refusal
from vllm_operator.api.expressions import evaluate

SECRET = {"secretKeyRef": {"name": "a", "key": "b"}}


def test_the_lists_agree() -> None:
    assert len(set(ALLOWED)) == len(ALLOWED)
    assert set(CREDENTIALS) <= set(ALLOWED)
    assert not set(ALLOWED) & set(INSTEAD)
    assert all(name == name.upper() for name in (*ALLOWED, *INSTEAD))


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "Https_proxy", "https_proxy", "hTTPS_pROXY"])
def test_a_name_is_known_in_any_case(name: str) -> None:
    assert refusal(name) == f"{name} is not for env: it is the operator's setting httpsProxy: ask the platform team"


def test_a_name_that_is_allowed_is_so_in_upper_case_only() -> None:
    assert refusal("NCCL_DEBUG") is None
    assert "in upper case" in str(refusal("nccl_debug"))


def test_only_credentials_come_from_secrets() -> None:
    EnvVar.model_validate({"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": SECRET})
    with pytest.raises(ValidationError, match="VLLM_LOGGING_LEVEL takes no Secret"):
        EnvVar.model_validate({"name": "VLLM_LOGGING_LEVEL", "valueFrom": SECRET})
    with pytest.raises(ValidationError, match=r"use model[.]tokenSecretRef"):
        EnvVar.model_validate({"name": "HF_TOKEN", "valueFrom": SECRET})


@pytest.mark.parametrize("source", [{"value": "1"}, {"valueFrom": SECRET}])
def test_the_api_server_says_the_same(source: dict[str, object]) -> None:
    rules = EnvVar.model_json_schema()[RULES]
    for name in (*ALLOWED, *INSTEAD, *map(str.lower, INSTEAD), "SOMETHING_ELSE", "A|B"):
        entry = {"name": name, **source}
        said = [evaluate(rule["messageExpression"], entry) for rule in rules if not evaluate(rule["rule"], entry)]
        assert said == [one for one in [refusal(name, secret="valueFrom" in source)] if one]
