"""The loop over one batch, in milliseconds: which Jobs it makes, when, and what it says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.batch_world import KEY, MERGED, REPORT, BatchWorld
from support.fake_api import refusal
from support.kube import Object
from support.world import LARGE, NAMESPACE
from vllm_operator.api import BATCH_KIND
from vllm_operator.batches import reconcile
from vllm_operator.cluster import path
from vllm_operator.loop.write import PROGRESS_SECONDS
from vllm_operator.manifests.names import STEP_LABEL
from vllm_operator.readers.logs import LogReader
from vllm_operator.services.claims import CLAIMS_SECONDS
from vllm_operator.vllm.batch.faults import STOPPED, BatchError, EngineDiedError, InputError, OutputError


def test_no_pod_takes_a_gpu_before_the_input_is_checked_and_the_plan_is_made() -> None:
    world = BatchWorld()
    world.batch()
    world.reconcile(2)
    assert world.steps() == ["check", "inspect"]
    world.ends("check", REPORT)
    world.reconcile()
    assert world.steps() == ["check", "inspect"], "the model is not known yet"
    world.inspected()
    world.reconcile()
    assert "run" in world.steps()


def test_from_the_check_to_the_output() -> None:
    world = BatchWorld()
    world.runs()
    assert world.condition("InputValid") == ("True", "InputChecked")
    assert world.condition("Fits") == ("True", "Fits")
    assert world.condition("Running") == ("False", "Starting")
    assert world.condition("Reconciling")[0] == "True"
    world.ends("run", {"index": 0, "total": 10, "done": 10, "failed": 0, "promptTokens": 100, "outputTokens": 50})
    world.reconcile()
    assert world.condition("Complete") == ("False", "Merging")
    world.ends("merge", MERGED)
    world.reconcile()
    assert world.condition("Complete") == world.condition("Ready") == ("True", "Merged")
    assert (world.status()["done"], world.status()["failed"], world.status()["total"]) == (10, 0, 10)
    assert world.status()["finishedAt"]
    world.reconcile(2)
    assert world.steps() == []
    before = world.status()
    assert world.reconcile() is None
    assert world.api.requests == []
    assert world.status() == before


def test_a_second_look_writes_nothing() -> None:
    world = BatchWorld()
    world.runs()
    world.reconcile()
    world.reconcile()
    assert [verb for verb, _ in world.api.requests if verb != "get"] == []


@pytest.mark.parametrize("stage", ["begin", "run", "merge"])
def test_a_restarted_operator_goes_on_where_the_last_one_ended(stage: str) -> None:
    world = BatchWorld()
    if stage == "begin":
        world.batch()
        world.reconcile(2)
    else:
        world.runs()
    if stage == "merge":
        world.ends("run")
        world.reconcile()
    before, status = world.steps(), world.status()
    world.begin()
    world.reconcile(2)
    assert world.steps() == before
    assert world.status()["conditions"] == status["conditions"]


def test_invalid_lines_end_it_before_a_gpu_is_taken() -> None:
    world = BatchWorld()
    world.batch()
    world.reconcile()
    first = [{"file": "in.jsonl", "line": 7, "why": "no custom_id"}]
    world.ends("check", {**REPORT, "valid": 8, "invalid": 2, "first": first}, exit_code=3)
    world.reconcile()
    assert world.condition("InputValid") == ("False", "InputInvalid")
    assert world.condition("Failed") == world.condition("Stalled") == ("True", "InputInvalid")
    assert world.message() == "of 10 lines 2 invalid (first: in.jsonl:7: no custom_id)"
    world.reconcile(2)
    assert "run" not in world.steps()


@pytest.mark.parametrize("message", ["", "vllm-batch: no such file\n", "[1]", '{"total": "x"}', "{" * 20000])
def test_a_check_that_fails_is_told_with_its_last_words(message: str) -> None:
    world = BatchWorld()
    world.batch()
    world.reconcile()
    world.ends("check", message, exit_code=1)
    world.reconcile()
    assert world.condition("Failed") == ("True", "InputUnreadable")


def test_a_model_that_does_not_fit_takes_no_gpu() -> None:
    world = BatchWorld()
    world.batch()
    world.reconcile()
    world.inspected(LARGE)
    world.ends("check", REPORT)
    again = world.reconcile()
    assert "run" not in world.steps()
    assert world.condition("Fits")[0] == "False"
    assert world.condition("Stalled") == ("True", "Withheld")
    assert again is not None


def test_plan_policy_warn_runs_it_all_the_same() -> None:
    world = BatchWorld()
    template = {"model": {"uri": "hf://a/b"}, "accelerator": {"product": "NVIDIA-L4"}, "planPolicy": "Warn"}
    world.batch(template=template)
    world.reconcile()
    world.inspected(LARGE)
    world.ends("check", REPORT)
    world.reconcile()
    assert "run" in world.steps()


def test_suspend_takes_the_pods_away_and_goes_on_later() -> None:
    world = BatchWorld()
    world.runs()
    world.batch(suspend=True)
    world.reconcile()
    assert world.steps() == []
    assert world.condition("Running") == world.condition("Ready") == ("False", "Suspended")
    assert world.condition("Reconciling") == world.condition("Stalled") == ("", "")
    world.batch()
    world.reconcile()
    assert world.steps() == ["run"]
    world.reconcile()
    assert world.condition("InputValid") == ("True", "InputChecked")


def test_a_job_is_given_up_where_the_program_says_that_another_try_does_not_help() -> None:
    world = BatchWorld()
    world.runs()
    _, rule = world.job("run")["spec"]["podFailurePolicy"]["rules"]
    lasting = {one.status for one in (InputError, OutputError)}
    assert (rule["action"], set(rule["onExitCodes"]["values"])) == ("FailJob", lasting)
    assert lasting.isdisjoint({BatchError.status, EngineDiedError.status, STOPPED})


def test_a_batch_that_was_suspended_from_the_start_has_no_pods() -> None:
    world = BatchWorld()
    world.batch(suspend=True)
    world.reconcile(2)
    assert world.steps() == []
    assert world.condition("Ready") == ("False", "Suspended")


def test_a_queue_is_named_on_the_run_alone_and_a_job_that_is_held_is_told() -> None:
    world = BatchWorld()
    world.runs(labels={"kueue.x-k8s.io/queue-name": "gpus"})
    assert world.job("run")["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert "kueue.x-k8s.io/queue-name" not in world.job("check")["metadata"]["labels"]
    assert "kueue.x-k8s.io/queue-name" not in world.job("run")["spec"]["template"]["metadata"]["labels"]
    world.job("run")["spec"]["suspend"] = True
    said = "insufficient unused quota for nvidia.com/gpu in flavor h100, 2 more needed"
    condition = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": said}
    world.api.workloads = [{"status": {"conditions": [condition]}}]
    world.watch()
    again = world.reconcile()
    assert world.condition("Running") == ("False", "HeldByQueue")
    assert world.message("Running") == f"Job nightly-run is suspended, as Kueue does until its queue has room: {said}"
    assert world.condition("Reconciling")[0] == "True"
    assert again is not None, "Kueue may say something else"


@pytest.mark.parametrize(
    "said", [[], [{}], [{"status": []}], [{"status": {"conditions": [{"type": "QuotaReserved"}]}}]]
)
def test_a_job_that_is_held_without_a_word_is_told_all_the_same(said: list[Object]) -> None:
    world = BatchWorld()
    world.runs()
    world.job("run")["spec"]["suspend"] = True
    world.api.workloads = said
    world.watch()
    world.reconcile()
    assert world.message("Running") == "Job nightly-run is suspended, as Kueue does until its queue has room"


def test_what_was_answered_when_it_expires_is_merged_and_told() -> None:
    world = BatchWorld()
    world.runs(expireAfterSeconds=3600)
    world.batch(ago=3601, expireAfterSeconds=3600)
    world.reconcile()
    assert world.steps() == ["merge"]
    world.ends("merge", {**MERGED, "done": 4, "unanswered": 6})
    world.reconcile()
    assert world.condition("Failed") == ("True", "Expired")
    assert world.condition("Ready") == ("False", "Expired")
    assert world.status()["done"] == 4


def test_one_that_expires_before_it_began_ends_at_once() -> None:
    world = BatchWorld()
    world.batch(ago=61, expireAfterSeconds=60)
    world.reconcile()
    assert world.condition("Failed") == ("True", "Expired")
    assert world.steps() == []


def test_pods_that_fail_too_often_end_it_with_what_was_answered() -> None:
    world = BatchWorld()
    world.runs()
    world.ends("run", "vllm-batch: the engine died", exit_code=1)
    world.reconcile()
    assert world.steps() == ["merge", "run"]
    world.ends("merge", {**MERGED, "done": 3, "unanswered": 7})
    world.reconcile()
    assert world.condition("Failed") == ("True", "RunFailed")
    assert world.condition("Ready") == ("False", "RunFailed")
    world.reconcile()
    assert world.steps() == ["merge", "run"], "their logs tell why"


HALF = {**MERGED, "done": 4, "unanswered": 6}


def merging(cause: str) -> BatchWorld:
    """One whose output is made of four answers of ten, as it expired or as its pods failed too often."""
    world = BatchWorld()
    world.runs(expireAfterSeconds=3600)
    if cause == "Expired":
        world.batch(ago=3601, expireAfterSeconds=3600)
    else:
        world.ends("run", "vllm-batch: the engine died", exit_code=1)
    world.reconcile()
    assert "merge" in world.steps()
    return world


@pytest.mark.parametrize("cause", ["Expired", "RunFailed"])
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("left", "complete"), [(6, False), (0, True)])
def test_why_the_output_is_made_is_remembered_whatever_is_changed_meanwhile(
    cause: str, *, restarts: bool, left: int, complete: bool
) -> None:
    world = merging(cause)
    told = world.job("merge")["metadata"]["annotations"]["vllm-operator.dev/batch-cause"]
    world.api.objects.pop(path("Job", NAMESPACE, f"{KEY.name}-run"), None)
    world.batch(ago=3601, expireAfterSeconds=36000)
    if restarts:
        world.begin()
    world.reconcile(2)
    assert world.steps() == ["merge"]
    world.ends("merge", {**HALF, "unanswered": left})
    world.reconcile()
    if complete:
        assert world.condition("Complete") == ("True", "Merged")
    else:
        assert world.condition("Failed") == ("True", cause)
        assert world.message("Failed") in told


def test_a_merge_that_is_made_again_without_a_cause_tells_what_nobody_answered() -> None:
    """Somebody deletes both Jobs and puts the end off: pods that come back find the output made, and answer nothing."""
    world = merging("Expired")
    world.batch(ago=3601, expireAfterSeconds=36000)
    world.api.objects.pop(path("Job", NAMESPACE, f"{KEY.name}-merge"))
    world.watch()
    world.reconcile(2)
    world.ends("run")
    world.reconcile()
    world.ends("merge", HALF)
    world.reconcile()
    assert world.condition("Failed") == ("True", "RunFailed")
    assert world.message() == "its pods ended with 6 requests unanswered"


@pytest.mark.parametrize("kept", ["", "{", "[]", "[1, 2]", '["NoReason", "x"]', '["Expired"]', "[" * 9999])
def test_a_cause_that_is_none_counts_for_nothing(kept: str) -> None:
    world = BatchWorld()
    world.runs()
    world.ends("run")
    world.reconcile()
    world.job("merge")["metadata"]["annotations"] = {"vllm-operator.dev/batch-cause": kept}
    world.ends("merge", MERGED)
    world.reconcile()
    assert world.condition("Complete") == ("True", "Merged")


def test_a_merge_that_fails_is_told() -> None:
    world = BatchWorld()
    world.runs()
    world.ends("run")
    world.reconcile()
    world.ends("merge", "vllm-batch: the disk is full", exit_code=4)
    world.reconcile()
    assert world.condition("Failed") == ("True", "MergeFailed")
    assert "the disk is full" in world.message()


def fails_at(world: BatchWorld, ago: int) -> None:
    """The merge Job failed so many seconds ago."""
    at = (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    world.job("merge")["status"]["conditions"][0]["lastTransitionTime"] = at
    world.watch()


@pytest.mark.parametrize("exit_code", [1, 137, 143])
def test_a_merge_that_may_work_later_is_made_again_after_a_while(exit_code: int) -> None:
    world = BatchWorld()
    world.runs(expireAfterSeconds=3600)
    world.ends("run")
    world.reconcile()
    world.ends("merge", "vllm-batch: the output's volume is full (/out): make it larger", exit_code=exit_code)
    fails_at(world, 1)
    again = world.reconcile()
    assert world.steps() == ["merge", "run"]
    assert world.condition("Ready") == world.condition("Complete") == ("False", "MergeFailed")
    assert world.condition("Stalled") == ("True", "MergeFailed")
    assert world.condition("Failed") == ("", "")
    assert "the output's volume is full" in world.message()
    assert again is not None
    assert 10 < again <= 60
    fails_at(world, 61)
    world.reconcile()
    assert world.steps() == ["run"]
    world.reconcile()
    assert world.steps() == ["merge", "run"]
    assert world.condition("Complete") == ("False", "Merging")
    world.ends("merge", MERGED)
    world.reconcile()
    assert world.condition("Complete") == ("True", "Merged")


def test_a_merge_that_fails_when_the_time_of_the_batch_is_over_ends_it() -> None:
    world = BatchWorld()
    world.runs(expireAfterSeconds=3600)
    world.ends("run")
    world.reconcile()
    world.batch(ago=3601, expireAfterSeconds=3600)
    assert world.reconcile() != 0.1, "nothing is due any more"
    world.ends("merge", "vllm-batch: cannot write /out: Input/output error", exit_code=1)
    world.reconcile()
    assert world.condition("Failed") == ("True", "MergeFailed")


def test_a_claim_for_one_node_is_refused_for_several_pods() -> None:
    world = BatchWorld()
    world.batch(parallelism=2, output={"uri": "pvc://one/out"})
    again = world.reconcile()
    assert world.condition("Ready") == world.condition("SpecValid") == ("False", "ClaimNotShared")
    assert world.steps() == []
    assert again is not None, "somebody may change the claim"
    world.batch(parallelism=1, output={"uri": "pvc://one/out"})
    world.reconcile()
    assert world.steps() == ["check", "inspect"]


def test_several_pods_of_one_node_may_share_a_claim_of_it() -> None:
    world = BatchWorld()
    pod = {"nodeSelector": {"kubernetes.io/hostname": "a"}}
    template = {"model": {"uri": "hf://a/b"}, "accelerator": {"product": "NVIDIA-L4"}, "pod": pod}
    world.batch(parallelism=2, output={"uri": "pvc://one/out"}, template=template)
    world.reconcile()
    assert world.steps() == ["check", "inspect"]
    world = BatchWorld()
    world.claim("one", "ReadWriteOncePod")
    world.batch(parallelism=2, output={"uri": "pvc://one/out"}, template=template)
    world.reconcile()
    assert world.condition("Ready") == ("False", "ClaimNotShared")


def test_a_claim_that_is_not_there_is_told() -> None:
    world = BatchWorld()
    world.batch(input={"uri": "pvc://nowhere/in.jsonl"})
    world.reconcile()
    assert world.message() == "there is no claim nowhere in this namespace: check input.uri"


def test_claims_are_read_once_a_minute() -> None:
    world = BatchWorld()
    world.batch(input={"uri": "pvc://new/in.jsonl"})
    world.reconcile()
    world.claim("new", "ReadWriteMany")
    world.clock.now += CLAIMS_SECONDS - 1
    world.reconcile()
    assert not [url for _, url in world.api.requests if "persistentvolumeclaims" in url]
    assert world.steps() == []
    world.clock.now += 1
    world.reconcile()
    assert world.steps() == ["check", "inspect"]


def test_the_settings_hold_for_claims_and_images_of_a_batch() -> None:
    world = BatchWorld(allowed_claims={"models": "yes"})
    world.batch()
    world.reconcile()
    assert world.condition("Ready") == ("False", "ClaimNotAllowed")
    world = BatchWorld()
    world.batch(template={"model": {"uri": "hf://a/b"}, "image": "evil:1"})
    world.reconcile()
    assert world.condition("Ready") == ("False", "ImageNotAllowed")


def service(world: BatchWorld, **spec: object) -> None:
    body: Object = {"apiVersion": "vllm-operator.dev/v1alpha1", "kind": "InferenceService", "spec": spec}
    meta = {"name": "llama", "namespace": NAMESPACE, "uid": "uid-llama"}
    world.api.put(path("InferenceService", NAMESPACE, "llama"), {**body, "metadata": meta})
    world.watch()


def test_a_service_lends_its_model_and_tuning() -> None:
    world = BatchWorld()
    world.batch(template=None, serviceRef={"name": "llama"})
    world.reconcile()
    assert world.condition("Ready") == ("False", "ServiceNotFound")
    model = {"uri": "hf://a/b"}
    service(world, model=model, replicas=3, maxNumSeqs=8, accelerator={"product": "NVIDIA-L4"})
    world.reconcile(2)
    world.inspected()
    world.ends("check", REPORT)
    world.reconcile(2)
    arguments = world.job("run")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--max-num-seqs=8" in arguments
    assert arguments[arguments.index("--served-model-name") + 1] == "llama"
    assert world.job("run")["spec"]["completions"] == 1


@pytest.mark.parametrize(
    ("modes", "settings", "taken"),
    [
        ([], {}, False),
        (["ReadWriteMany"], {}, True),
        (["ReadWriteOnce"], {}, False),
        (["ReadWriteMany"], {"allowed_claims": {"models": "yes"}}, False),  # which the operator's own does not have
    ],
)
def test_a_service_lends_the_cache_that_its_class_gave_it(modes: list[str], settings: Object, *, taken: bool) -> None:
    """As it stands: what the class says by now counts for services that are made by now."""
    world = BatchWorld(**settings)
    world.claim("data", "ReadWriteMany", models="yes")
    meta = {"name": "h100", "uid": "uid-h100", "creationTimestamp": "2026-01-01T00:00:00Z"}
    spec = {"default": True, "cache": {"storage": "1Gi", "accessMode": "ReadWriteMany"}}
    world.api.put(path("ServingClass", "", "h100"), {"kind": "ServingClass", "metadata": meta, "spec": spec})
    for mode in modes:
        labels = {"app.kubernetes.io/managed-by": "vllm-operator", "app.kubernetes.io/instance": "llama"}
        world.claim("llama-cache", mode, **labels)
    service(world, model={"uri": "hf://a/b"}, accelerator={"product": "NVIDIA-L4"})
    world.runs(template=None, serviceRef={"name": "llama"}, parallelism=4)
    volumes = {one["name"]: one for one in world.job("run")["spec"]["template"]["spec"]["volumes"]}
    claim = volumes["cache"].get("persistentVolumeClaim", {}).get("claimName")
    assert claim == ("llama-cache" if taken else None)


@pytest.mark.parametrize("of_class", [True, False], ids=["of its class", "of the service"])
@pytest.mark.parametrize("begun", [False, True])
def test_a_class_that_allows_users_no_claim_allows_the_one_that_the_operator_made(
    *, of_class: bool, begun: bool
) -> None:
    world = BatchWorld()
    meta = {"name": "h100", "uid": "uid-h100", "creationTimestamp": "2026-01-01T00:00:00Z"}
    cache = {"storage": "1Gi", "accessMode": "ReadWriteMany"}
    limits = {"gpusPerNamespace": 8, "allowed": {"cache.existingClaim": []}}
    spec = {"default": True, **({"cache": cache} if of_class else {})}
    own: Object = {"kind": "ServingClass", "metadata": meta, "spec": spec if begun else {**spec, "limits": limits}}
    world.api.put(path("ServingClass", "", "h100"), own)
    labels = {"app.kubernetes.io/managed-by": "vllm-operator", "app.kubernetes.io/instance": "llama"}
    world.claim("llama-cache", "ReadWriteMany", **labels)
    lent = {} if of_class else {"cache": {"claim": cache}}
    service(world, model={"uri": "hf://a/b"}, accelerator={"product": "NVIDIA-L4"}, suspend=True, **lent)
    world.runs(template=None, serviceRef={"name": "llama"}, parallelism=4)
    world.api.put(path("ServingClass", "", "h100"), {**own, "spec": {**spec, "limits": limits}})
    world.watch()
    world.reconcile()
    volumes = {one["name"]: one for one in world.job("run")["spec"]["template"]["spec"]["volumes"]}
    assert volumes["cache"]["persistentVolumeClaim"]["claimName"] == "llama-cache"
    assert world.condition("SpecValid")[0] == "True"
    assert world.condition("Admitted") == ("", "")


def test_a_claim_that_a_user_names_is_for_the_class_to_allow() -> None:
    world = BatchWorld()
    meta = {"name": "h100", "uid": "uid-h100", "creationTimestamp": "2026-01-01T00:00:00Z"}
    spec = {"default": True, "limits": {"allowed": {"cache.existingClaim": []}}}
    world.api.put(path("ServingClass", "", "h100"), {"kind": "ServingClass", "metadata": meta, "spec": spec})
    service(world, model={"uri": "hf://a/b"}, cache={"existingClaim": "llama-cache"})
    world.batch(template=None, serviceRef={"name": "llama"})
    world.reconcile()
    assert world.condition("Ready") == ("False", "ClassLimitExceeded")


def test_requests_may_name_the_model_and_its_adapters() -> None:
    world = BatchWorld()
    lora = {"adapters": [{"name": "extra", "uri": "pvc://adapters/extra"}]}
    world.batch(template={"model": {"uri": "hf://a/b"}, "lora": lora})
    world.reconcile(2)
    world.inspected()
    world.reconcile(2)
    arguments = world.job("check")["spec"]["template"]["spec"]["containers"][0]["args"]
    names = [word.partition("=")[2] for word in arguments if word.startswith("--served-model-name=")]
    assert names[1:] == ["extra"]
    assert len(names) == 2


def test_a_service_whose_devices_are_of_a_class_lends_nothing() -> None:
    world = BatchWorld()
    accelerator = {"resource": "nvidia.com/gpu", "deviceClass": "gpu.nvidia.com"}
    service(world, model={"uri": "hf://a/b"}, accelerator=accelerator)
    world.batch(template=None, serviceRef={"name": "llama"})
    world.reconcile()
    assert world.message() == "a batch cannot have devices of a class: use accelerator.resource"


def test_somebody_elses_job_of_that_name_is_left_alone() -> None:
    world = BatchWorld()
    url = path("Job", NAMESPACE, f"{KEY.name}-check")
    world.api.put(url, {"kind": "Job", "metadata": {"name": f"{KEY.name}-check", "namespace": NAMESPACE}, "spec": {}})
    world.batch()
    world.reconcile()
    assert world.condition("Running") == ("False", "NameTaken")
    assert "labels" not in world.api.objects[url]["metadata"]


def test_jobs_of_a_deleted_batch_of_this_name_are_waited_for_and_told() -> None:
    world = BatchWorld()
    world.batch()
    world.reconcile(2)
    jobs = [url for url in world.api.objects if "/jobs/" in url]
    url = path(BATCH_KIND, *KEY)
    world.api.objects.pop(url)
    world.batch()
    world.api.objects[url]["metadata"]["uid"] = "uid-of-another"
    world.watch()
    assert world.reconcile() == reconcile.PREDECESSOR_SECONDS
    assert world.condition("Ready") == world.condition("Running") == ("False", "Starting")
    told = "Job nightly-check belongs to a deleted batch of this name and is not gone yet"
    assert world.message() == told
    assert world.condition("Reconciling")[0] == "True"
    assert world.condition("Stalled") == ("", "")
    for _ in range(5):
        world.clock.now += reconcile.PREDECESSOR_SECONDS
        assert world.reconcile() == reconcile.PREDECESSOR_SECONDS
        assert not any("status" in asked or verb == "post" for verb, asked in world.api.requests)
    for job in jobs:
        world.api.objects.pop(job)
    world.reconcile()
    assert world.steps() == ["check", "inspect"]
    assert world.message() != told


def test_what_the_api_server_refuses_is_told() -> None:
    world = BatchWorld()
    world.api.refuse["patch", path("Job", NAMESPACE, f"{KEY.name}-check")] = refusal(403, "quota")
    world.batch()
    again = world.reconcile()
    assert world.condition("Running") == ("False", "Refused")
    assert again is not None, "somebody may mend it"


def test_a_fault_of_the_operators_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(reconcile, "plan", fails)
    world = BatchWorld()
    world.batch()
    again = world.reconcile()
    assert world.condition("Ready") == ("False", "OperatorFailed")
    assert "the operator fails at this batch (ZeroDivisionError)" in world.message()
    assert again is not None


def test_a_batch_goes_after_its_time() -> None:
    world = BatchWorld()
    world.batch(ago=100, expireAfterSeconds=60, ttlSecondsAfterFinished=0)
    world.reconcile(2)
    assert path(BATCH_KIND, *KEY) not in world.api.objects


def test_a_batch_that_has_time_left_stays_and_comes_back() -> None:
    world = BatchWorld()
    world.batch(ago=100, expireAfterSeconds=60, ttlSecondsAfterFinished=600)
    again = world.reconcile(2)
    assert again is not None
    assert 590 < again <= 600


def ended(end: str) -> BatchWorld:
    """A batch that has ended, one way or the other."""
    world = BatchWorld()
    if end == "Failed":
        world.batch(ago=100, expireAfterSeconds=60)
        world.reconcile(2)
    else:
        world.runs()
        world.ends("run", MERGED)
        world.reconcile()
        world.ends("merge", MERGED)
        world.reconcile(2)
    assert world.condition(end)[0] == "True"
    return world


@pytest.mark.parametrize("end", ["Complete", "Failed"])
@pytest.mark.parametrize("edit", [{"ttlSecondsAfterFinished": 600}, {"suspend": True}, {"template": {}}])
def test_an_edit_after_the_end_changes_nothing_but_the_generation_that_is_told(end: str, edit: Object) -> None:
    world = ended(end)
    before = world.status()
    world.batch(**edit)
    world.reconcile()
    generation = world.api.objects[path(BATCH_KIND, *KEY)]["metadata"]["generation"]
    told = [{**entry, "observedGeneration": generation} for entry in before["conditions"]]
    assert generation > before["observedGeneration"]
    assert world.status() == {**before, "observedGeneration": generation, "conditions": told}
    world.reconcile()
    assert world.api.requests == []


def test_an_end_without_its_other_conditions_is_told_of_the_new_generation_too() -> None:
    """As somebody left it who edits statuses."""
    world = ended("Complete")
    status = world.status()
    status["conditions"] = [entry for entry in status["conditions"] if entry["type"] == "Complete"]
    world.batch(ttlSecondsAfterFinished=600)
    world.reconcile()
    assert [entry["type"] for entry in world.status()["conditions"]] == ["Complete"]


def test_pods_of_somebody_else_count_for_nothing() -> None:
    world = BatchWorld()
    world.batch()
    world.reconcile()
    world.ends("check", REPORT)
    pod = next(body for url, body in world.api.objects.items() if "/pods/nightly-check" in url)
    pod["metadata"]["ownerReferences"] = []
    world.watch()
    world.reconcile(2)
    assert world.condition("InputValid") == ("Unknown", "CheckingInput")


def test_the_check_is_made_again_where_what_it_said_is_gone() -> None:
    world = BatchWorld()
    world.batch()
    world.reconcile()
    world.ends("check", REPORT)
    pods = [url for url in world.api.objects if "/pods/nightly-check" in url]
    for url in pods:
        del world.api.objects[url]
    world.watch()
    world.reconcile()
    assert "check" not in world.steps()
    world.reconcile()
    assert "check" in world.steps()


def test_progress_is_written_every_ten_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(range(1, 100))

    async def read(_: str) -> str:
        return f'{{"done": {next(said)}, "failed": 0, "promptTokens": 10, "outputTokens": 10}}'

    monkeypatch.setattr("vllm_operator.batches.progress.read_progress", read)
    world = BatchWorld()
    world.runs()
    world.pod("run", {"state": {"running": {}}}, ready="True")
    written = 0
    for _ in range(60):
        world.clock.now += 1
        world.reconcile()
        written += sum(url.endswith("/status") for _, url in world.api.requests)
    assert 2 < written <= 60 / PROGRESS_SECONDS + 2
    assert world.condition("Running") == ("True", "Answering")
    assert world.status()["done"] > 1


BUCKETS: Object = {
    "input": {"uri": "s3://data/in.jsonl", "objectStore": {"credentialsSecretName": "keys"}},
    "output": {"uri": "s3://data/out"},
}
REFUSED = (
    "vllm-batch: AWS refuses s3://data/in.jsonl: the keys of input.objectStore.credentialsSecretName are not valid"
)


def settled(world: BatchWorld) -> None:
    """A reconcile after a while: messages alone are not written at once."""
    world.reconcile()
    world.clock.now += 2 * PROGRESS_SECONDS
    world.reconcile()


def failed(message: str, exit_code: int) -> Object:
    """A container that has ended."""
    return {"terminated": {"exitCode": exit_code, "reason": "Error", "message": message}}


def test_several_pods_need_no_claim_where_all_is_in_buckets() -> None:
    world = BatchWorld()
    world.runs(parallelism=2, **BUCKETS)
    assert "run" in world.steps()
    world.batch(parallelism=2, **{**BUCKETS, "input": {"uri": "pvc://one/in.jsonl"}})
    assert world.job("run")["spec"]["parallelism"] == 2


def test_a_claim_beside_a_bucket_still_has_to_be_shared() -> None:
    world = BatchWorld()
    world.batch(parallelism=2, **{**BUCKETS, "input": {"uri": "pvc://one/in.jsonl"}})
    world.reconcile()
    assert world.condition("Ready") == ("False", "ClaimNotShared")


def test_a_bucket_needs_the_image_that_copies() -> None:
    world = BatchWorld(inspects=False)
    world.batch(**BUCKETS)
    world.reconcile()
    assert world.condition("SpecValid") == ("False", "Invalid")
    assert "does not know its own image (setting images.operator)" in world.message()
    assert world.steps() == []


def test_a_bucket_that_refuses_ends_the_check_with_its_sentence() -> None:
    world = BatchWorld()
    world.batch(**BUCKETS)
    world.reconcile()
    world.fetching("check", failed(REFUSED, 3), "Failed")
    world.fails("check")
    world.reconcile()
    assert world.condition("Failed") == ("True", "InputInvalid")
    assert world.message() == REFUSED


def test_a_check_that_is_tried_again_says_why() -> None:
    world = BatchWorld()
    world.batch(**BUCKETS)
    world.reconcile()
    world.fetching("check", failed("vllm-batch: AWS does not answer for s3://data/in.jsonl: status 503", 1), "Failed")
    settled(world)
    assert world.condition("InputValid") == ("Unknown", "CheckingInput")
    again = "the input is being checked, again: vllm-batch: AWS does not answer for s3://data/in.jsonl: status 503"
    assert world.message("InputValid") == again
    world.fails("check")
    world.reconcile()
    assert world.condition("Failed") == ("True", "InputUnreadable")
    assert "status 503" in world.message()


def test_a_secret_that_is_missing_is_told_while_it_is_waited_for() -> None:
    world = BatchWorld()
    world.batch(**BUCKETS)
    world.reconcile()
    waits = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}}
    world.fetching("check", waits)
    settled(world)
    assert "being checked: Secret keys does not exist: create it" in world.message("InputValid")
    assert world.condition("Failed") == ("", "")


def test_an_image_that_is_missing_is_that_of_the_container_that_waits_for_it() -> None:
    world = BatchWorld()
    world.runs(**BUCKETS)
    world.fetching("run", {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}})
    world.reconcile()
    assert world.condition("Running") == ("False", "ImagePullFailed")
    assert "image operator:1 cannot be pulled" in world.message("Running")


def test_pods_that_get_no_input_are_told_while_others_are_made_and_in_the_end() -> None:
    world = BatchWorld()
    world.runs(**BUCKETS)
    world.fetching("run", failed(REFUSED, 1), "Failed")
    settled(world)
    assert f"before that, {REFUSED}" in world.message("Running")
    world.fails("run")
    world.reconcile()
    world.ends("merge", {**MERGED, "done": 0, "unanswered": 10})
    world.reconcile()
    assert world.condition("Failed") == ("True", "RunFailed")
    assert f"its pods failed too often: {REFUSED}" in world.message("Failed")


def test_what_could_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise KeyError("state")

    world = BatchWorld()
    world.runs()
    monkeypatch.setattr(LogReader, "read", fails)
    world.reconcile()
    assert world.condition("Incomplete") == ("True", "PartUnreadable")
    assert world.message("Incomplete") == "not read: what the operator's LogReader reads (KeyError)"
    assert world.condition("InputValid") == ("True", "InputChecked")
    monkeypatch.undo()
    world.clock.now += PROGRESS_SECONDS
    world.reconcile()
    assert world.condition("Incomplete") == ("", "")


def test_a_status_that_the_api_server_refuses_is_written_in_outline(monkeypatch: pytest.MonkeyPatch) -> None:
    world = BatchWorld()
    world.runs()
    request = world.api.request

    async def picky(verb: str, url: str, **options: Any) -> Any:
        if url.endswith("/status") and "total" in options["body"]["status"]:
            raise refusal(422, "status.total: Invalid value")
        return await request(verb, url, **options)

    monkeypatch.setattr(world.api, "request", picky)
    world.batch(suspend=True)
    world.reconcile()
    assert world.condition("Incomplete") == ("True", "PartUnreadable")
    assert "status.total: Invalid value" in world.message("Incomplete")
    assert world.condition("Ready") == ("False", "Suspended")


def test_a_job_that_somebody_else_made_with_its_labels_is_not_its_own() -> None:
    """Whoever may make Jobs has the operator delete none: neither his own, nor one that has the name of a step."""
    world = BatchWorld()
    world.batch()
    world.reconcile(2)
    check = world.job("check")
    meta: Object = check["metadata"]
    labels = {**meta["labels"], STEP_LABEL: "run"}
    forged: Object = {**check, "metadata": {**meta, "name": "forged", "uid": "forged", "labels": labels}}
    foreign: Object = {"kind": "Job", "metadata": {"name": "nightly-run", "namespace": NAMESPACE}, "spec": {}}
    for job in (forged, foreign):
        world.api.put(path("Job", NAMESPACE, job["metadata"]["name"]), job)
    world.batch(suspend=True)
    world.reconcile(3)
    assert {path("Job", NAMESPACE, name) for name in ("forged", "nightly-run")} <= world.api.objects.keys()


def test_a_spec_that_is_larger_than_any_is_not_kept() -> None:
    world = BatchWorld()
    world.batch(template={"model": {"uri": "hf://a/b"}, "extraArgs": ["--seed=1" + "0" * (1 << 18)]})
    world.reconcile()
    assert world.condition("SpecValid") == ("False", "Invalid")
    assert "bytes, of 131,072 at most" in world.message("SpecValid")
    assert world.steps() == []


UNSAID = "failed quota: limits: must specify limits.cpu for: vllm"
USED_UP = "exceeded quota: q, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=8, limited: "


def looks(world: BatchWorld) -> float | None:
    """Looks until Events have been read and told; returns when the next look is."""
    for _ in range(3):
        if again := world.reconcile():
            world.clock.now += again
    world.reconcile(2)  # what was read makes it come back
    return world.reconcile()


@pytest.mark.parametrize("step", ["check", "run", "merge"])
@pytest.mark.parametrize(
    ("said", "reason", "told", "stands"),
    [
        (UNSAID, "PodsRefused", "ResourceQuota limits wants limits.cpu of every pod: set it in resources", "Stalled"),
        (
            f"{USED_UP}requests.nvidia.com/gpu=8",
            "QuotaExceeded",
            "ResourceQuota q is used up: a pod asks for requests.nvidia.com/gpu=1",
            "Reconciling",
        ),
        (
            "ValidatingAdmissionPolicy 'x' with binding 'y' denied request: no batches here",
            "PodsRefused",
            "Kubernetes refuses to create the pods: pods ",
            "Stalled",
        ),
    ],
)
def test_pods_that_the_api_server_refuses_are_told(step: str, said: str, reason: str, told: str, stands: str) -> None:
    world = BatchWorld()
    if step == "check":
        world.batch()
        world.reconcile()
    else:
        world.runs()
    if step == "merge":
        world.ends("run")
        world.reconcile()
    world.refuses(step, said)
    again = looks(world)
    kind = {"check": "InputValid", "run": "Running", "merge": "Complete"}[step]
    assert world.condition(kind)[1] == world.condition("Ready")[1] == reason
    assert told in world.message(kind)
    assert world.condition(stands)[0] == "True"
    assert again is not None, "it may pass, or be mended"
    assert 1 < again <= 30


def test_a_refusal_is_forgotten_once_there_is_a_pod() -> None:
    world = BatchWorld()
    world.runs()
    world.refuses("run", UNSAID)
    looks(world)
    assert world.condition("Running") == ("False", "PodsRefused")
    world.pod("run", {"state": {"running": {}}}, ready="True")
    world.reconcile()
    assert world.condition("Running") == ("True", "Answering")


@pytest.mark.parametrize(
    ("at", "reason"), [("2026-11-24T12:00:00Z", "Starting"), ("2026-11-24T12:00:02Z", "PodsRefused")]
)
def test_a_refusal_counts_only_after_the_last_pod(at: str, reason: str) -> None:
    """A pod was made after all, and has ended since; another one is not there yet, or is refused again."""
    world = BatchWorld()
    world.runs()
    world.pod("run", {"state": failed("vllm-batch: the disk is away", 1)})
    pod = next(body for url, body in world.api.objects.items() if "/pods/nightly-run" in url)
    pod["metadata"]["creationTimestamp"] = "2026-11-24T12:00:01Z"
    world.refuses("run", UNSAID, at)
    looks(world)
    assert world.condition("Running") == ("False", reason)


def test_a_job_that_a_queue_holds_is_not_asked_for_refusals() -> None:
    world = BatchWorld()
    world.runs()
    world.job("run")["spec"]["suspend"] = True
    world.refuses("run", UNSAID)
    looks(world)
    assert world.condition("Running") == ("False", "HeldByQueue")
    assert not any(url.endswith("/events") for _, url in world.api.requests)


def test_an_inspect_job_that_is_refused_says_so_and_keeps_nothing_waiting() -> None:
    world = BatchWorld()
    world.batch()
    world.reconcile()
    world.ends("check", REPORT)
    world.refuses("inspect", UNSAID)
    looks(world)
    assert world.condition("Fits") == ("Unknown", "NotInspected")
    assert "the pod of the inspect Job is refused: " in world.message("Fits")
    assert "run" in world.steps()


@pytest.mark.parametrize("step", ["check", "run"])
def test_a_batch_that_cannot_be_acted_on_does_not_wait_for_what_it_does_not_read(step: str) -> None:
    world = BatchWorld()
    world.runs()
    world.pod("run", {"state": {"waiting": {"reason": "ContainerCreating"}}})
    if step == "check":
        world = BatchWorld()
        world.batch()
        world.reconcile()
        world.refuses("check", UNSAID)
    looks(world)
    world.batch(template=None, serviceRef={"name": "none"})
    world.clock.now += 100
    again = world.reconcile()
    assert world.condition("SpecValid") == ("False", "ServiceNotFound")
    assert again is not None
    assert again >= (1 if step == "run" else 10), "somebody may mend it"
