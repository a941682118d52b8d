"""The rules of examples/policies, evaluated without a cluster: of services and of batches.

tests/control_plane/test_policies.py holds them against a real API server.
"""

from functools import cache
from typing import Any

import pytest
import yaml
from cel_expr_python import cel
from cel_expr_python.ext import ext_optional

from cluster.host import REPOSITORY
from vllm_operator.api import BATCH_KIND, BATCH_PLURAL, KIND, PLURAL

POLICIES = REPOSITORY / "examples" / "policies"
KINDS = [KIND, BATCH_KIND]
_ALLOWED: set[str] = set()
"""What RBAC gives the user of the request: /group/resource/namespace/name/verb."""


@cache
def environment() -> Any:
    """CEL as for policies, with an authorizer that is the path of what is asked."""
    text = cel.Type.STRING
    functions = [
        cel.FunctionDecl(name, [cel.Overload(f"{name}_of_authorizer", text, [text, text], is_member=True, impl=_below)])
        for name in ("group", "resource", "namespace", "name", "check")
    ]
    allowed = cel.Overload("allowed", cel.Type.BOOL, [text], is_member=True, impl=lambda path: path in _ALLOWED)
    dynamic = ("object", "oldObject", "request", "variables")
    return cel.NewEnv(
        variables={**dict.fromkeys(dynamic, cel.Type.DYN), "authorizer": text},
        extensions=[ext_optional.ExtOptional()],
        functions=[*functions, cel.FunctionDecl("allowed", [allowed])],
    )


def _below(path: str, part: str) -> str:
    return f"{path}/{part}"


def evaluate(expression: str, data: dict[str, Any]) -> Any:
    result = environment().compile(expression).eval(data=data)
    assert result.type() != cel.Type.ERROR, f"{expression}: {result.plain_value()}"
    return result.plain_value()


def refusals(
    name: str, new: dict[str, Any], old: dict[str, Any] | None = None, allowed: str = "", **request: Any
) -> list[str]:
    """What a policy says against a request: to write an object, or to delete it."""
    (policy,) = (
        one
        for one in yaml.safe_load_all((POLICIES / f"{name}.yaml").read_text())
        if one["kind"] == "ValidatingAdmissionPolicy"
    )
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    plural = {KIND: PLURAL, BATCH_KIND: BATCH_PLURAL}[new["kind"]]
    assert plural in rule["resources"]
    _ALLOWED.clear()
    _ALLOWED.add(allowed.replace("RESOURCE", plural))
    request = {"namespace": "team-a", "name": "one", "resource": {"resource": plural}, "operation": "UPDATE", **request}
    after = None if request["operation"] == "DELETE" else new
    data: dict[str, Any] = {"object": after, "oldObject": old, "request": request, "variables": {}, "authorizer": ""}
    for variable in policy["spec"]["variables"]:
        found = evaluate(variable["expression"], data)
        data["variables"] = {**data["variables"], variable["name"]: found}
    wrong = [one for one in policy["spec"]["validations"] if not evaluate(one["expression"], data)]
    return [one.get("message") or evaluate(one["messageExpression"], data) for one in wrong]


def written(kind: str, engine: dict[str, Any], **own: Any) -> dict[str, Any]:
    """A service or a batch with this engine."""
    return {"kind": kind, "spec": {**engine, **own} if kind == KIND else {"template": engine, **own}}


CODE = {"model": {"uri": "hf://org/name", "trustRemoteCode": True}}
MAY_RUN_CODE = "/vllm-operator.dev/RESOURCE/team-a/one/trust-remote-code"


@pytest.mark.parametrize("kind", KINDS)
def test_code_of_a_model_needs_the_verb(kind: str) -> None:
    name = "trust-remote-code"
    (said,) = refusals(name, written(kind, CODE))
    assert "you may not ask for that here" in said
    assert refusals(name, written(kind, CODE), allowed=MAY_RUN_CODE) == []
    assert refusals(name, written(kind, {"model": {"uri": "hf://org/name"}})) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_verb_on_the_other_kind_is_not_enough(kind: str) -> None:
    other = {KIND: BATCH_PLURAL, BATCH_KIND: PLURAL}[kind]
    assert refusals("trust-remote-code", written(kind, CODE), allowed=MAY_RUN_CODE.replace("RESOURCE", other))


@pytest.mark.parametrize("kind", KINDS)
def test_others_may_edit_what_is_not_about_the_code(kind: str) -> None:
    name, before = "trust-remote-code", written(kind, CODE)
    assert refusals(name, written(kind, {**CODE, "maxModelLen": 4096}), before) == []
    assert refusals(name, written(kind, CODE, suspend=True), before) == []
    for change in (
        {"model": {**CODE["model"], "uri": "hf://evil/name"}},
        {"model": {**CODE["model"], "revision": "evil"}},
        {"speculative": {"method": "eagle", "model": "hf://evil/draft"}},
        {"lora": {"adapters": [{"name": "a", "uri": "hf://evil/adapter"}]}},
        {"cache": {"existingClaim": "mine"}},
        {"env": [{"name": "HF_HUB_OFFLINE", "value": "1"}]},
    ):
        assert refusals(name, written(kind, {**CODE, **change}), before), change
    off = written(kind, {"model": {"uri": "hf://org/name"}})
    assert refusals(name, off, before) == []
    assert refusals(name, before, off), "switched off, and on again"


def test_a_batch_of_a_service_has_the_code_that_the_service_has() -> None:
    referring = {"kind": BATCH_KIND, "spec": {"serviceRef": {"name": "llama"}}}
    assert refusals("trust-remote-code", referring) == []
    assert refusals("trust-remote-code", written(BATCH_KIND, CODE), referring), "code of its own, afterwards"


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_needs_the_verb(kind: str) -> None:
    name, engine = "serving-classes", {"model": {"uri": "hf://org/name"}}
    h100, small = (written(kind, engine, servingClassName=one) for one in ("h100", "small"))
    may = "/vllm-operator.dev/servingclasses/team-a/h100/use"
    assert refusals(name, h100, allowed=may) == []
    assert refusals(name, small, allowed=may) == [
        "you may not use the ServingClass small in this namespace: name another one, or ask the platform team"
    ]
    (said,) = refusals(name, written(kind, engine), allowed=may)
    assert said.startswith("every service and batch here names a ServingClass")
    assert refusals(name, small, small) == [], "it has it already"
    assert refusals(name, small, h100, allowed=may)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_leaves_pods_behind(kind: str) -> None:
    plain = {"kind": kind, "metadata": {}, "spec": {}}

    def deleted(**options: Any) -> list[str]:
        return refusals("orphans", plain, plain, operation="DELETE", options=options)

    assert deleted() == deleted(propagationPolicy="Background") == deleted(propagationPolicy="Foreground") == []
    for options in ({"propagationPolicy": "Orphan"}, {"orphanDependents": True}):
        (said,) = deleted(**options)
        assert said.startswith("that leaves its pods behind")
    marked = {**plain, "metadata": {"finalizers": ["example.com/mine", "orphan"]}}
    assert refusals("orphans", plain) == refusals("orphans", plain, plain) == []
    assert refusals("orphans", marked)
    assert refusals("orphans", marked, plain)
    assert refusals("orphans", marked, marked) == [], "an admin has deleted it so"
    assert refusals("orphans", plain, marked) == []


def test_the_tenants_may_make_batches_only_where_the_role_for_that_is_bound() -> None:
    found = {}
    for file in ("tenant", "tenant-batches"):
        role = next(one for one in yaml.safe_load_all((POLICIES / f"{file}.yaml").read_text()) if one["kind"] == "Role")
        found[file] = {name for rule in role["rules"] for name in rule["resources"]}
    assert BATCH_PLURAL not in found["tenant"]
    assert found["tenant-batches"] == {BATCH_PLURAL, f"{BATCH_PLURAL}/status"}
