"""The operator's settings: where each is documented, and that the chart takes it."""

import json

import pytest
from pydantic import ValidationError

from cluster.host import REPOSITORY
from vllm_operator.assess.policy import RULES
from vllm_operator.settings import Allowed, Settings

PAGE = (REPOSITORY / "docs" / "settings.md").read_text()
CHART = REPOSITORY / "charts" / "vllm-operator"
NAMES = sorted(str(field.alias) for field in Settings.model_fields.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", [name for name in NAMES if name != "operatorNamespace"])
def test_the_chart_takes_every_setting_that_it_does_not_know(name: str) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert name in (schema if name in ("watchNamespaces", "shards") else schema["settings"]["properties"])


def test_the_page_tells_defaults_and_reasons() -> None:
    rows = {row.split("`")[1]: row for row in PAGE.splitlines() if row.startswith("| `")}
    for rule in RULES:
        assert f"| `{rule.reason}` |" in rows[rule.setting]
    for field in Allowed.model_fields.values():
        for value in field.default if isinstance(field.default, tuple) else ():
            assert f"`{value}`" in rows[str(field.alias)].split(" | ")[1]


def test_shards_are_of_the_whole_cluster() -> None:
    assert Settings.model_validate({"shards": 2}).shards == 2
    with pytest.raises(ValidationError, match="shards is for an operator of the whole cluster"):
        Settings.model_validate({"shards": 2, "watchNamespaces": ["team-a"]})


def test_a_typo_is_an_error() -> None:
    with pytest.raises(ValidationError, match="allowedImage\n"):
        Settings.model_validate({"allowedImage": []})


@pytest.mark.parametrize(("ip", "family"), [("10.0.0.7", "IPv4"), ("2001:db8::7", "IPv6"), ("", None)])
def test_the_operators_own_pod_tells_which_addresses_pods_have(ip: str, family: str | None) -> None:
    assert Settings().in_pod(ip).ip_family == family
    assert Settings(ip_family="IPv4").in_pod(ip).ip_family == "IPv4"
