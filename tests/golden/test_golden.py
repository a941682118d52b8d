"""What the operator makes of whole manifests, as files to read and to review.

After a change that is meant, write the files again with `UPDATE_GOLDEN=1 pytest tests/golden` and read the difference.
"""

import copy
import difflib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.host import REPOSITORY
from support.every_field import SAMPLES, dotted
from vllm_operator.api.resource import InferenceService
from vllm_operator.assess.resolution import PLAN, Resolved, effective
from vllm_operator.cli.render import render_file, service_of
from vllm_operator.cli.service_file import services_in
from vllm_operator.manifests import Rendered, controller_revision, inspection, pod_template
from vllm_operator.manifests.batch import RUNNER_ANNOTATION
from vllm_operator.manifests.download import download
from vllm_operator.manifests.names import MIDDLEWARE_ANNOTATION
from vllm_operator.settings import Images, Settings
from vllm_operator.vllm.batch import runner
from vllm_operator.vllm.carried import carried, middleware_text

HERE = Path(__file__).parent
SERVICES = {
    "tiny": REPOSITORY / "examples" / "tiny.yaml",
    "llama-70b": REPOSITORY / "examples" / "llama-70b.yaml",
    "class-h100": REPOSITORY / "examples" / "classes" / "h100.yaml",
    "class-cpu": REPOSITORY / "examples" / "classes" / "cpu.yaml",
    "complete": REPOSITORY / "tests" / "control_plane" / "complete.yaml",
    "autoscaled": HERE / "services" / "autoscaled.yaml",
    "keda": HERE / "services" / "keda.yaml",
    "bucket": HERE / "services" / "bucket.yaml",
    "groups": REPOSITORY / "examples" / "gpus" / "two-nodes.yaml",
    "image": HERE / "services" / "image.yaml",
    "others": HERE / "services" / "others.yaml",
    "devices": HERE / "services" / "devices.yaml",
    "ray": REPOSITORY / "examples" / "ray" / "ray-serve.yaml",
    "ray-on-gpus": HERE / "services" / "ray-on-gpus.yaml",
    "queued": HERE / "services" / "queued.yaml",
    "minimal": HERE / "services" / "minimal.yaml",
    "tuned": HERE / "services" / "tuned.yaml",
}
# Those that ask for what the platform team has to allow first, as services/settings.yaml does.
ALLOWED = {"complete", "devices", "keda", "others", "queued", "ray", "ray-on-gpus"}
# Their Jobs alone.
BATCHES = {
    "batch": REPOSITORY / "examples" / "batch" / "batch.yaml",
    "batches": HERE / "services" / "batches.yaml",
    "batch-buckets": REPOSITORY / "examples" / "batch" / "buckets.yaml",
    "batch-mixed": HERE / "services" / "batch-mixed.yaml",
}


class _Plain(yaml.SafeDumper):
    """Writes repeated parts in full, as `kubectl` does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _set_in(node: Any, path: str = "") -> Iterator[str]:
    """Paths of all fields that a node sets."""
    if path:
        yield path
    for name, value in node.items() if isinstance(node, dict) else ():
        yield from _set_in(value, f"{path}.{name}" if path else name)


def hidden(template: dict[str, Any]) -> dict[str, Any]:
    """A pod template without the middleware's text, which has been looked at."""
    annotations = template["metadata"]["annotations"]
    assert annotations[MIDDLEWARE_ANNOTATION] == carried(middleware_text(), "vllm/middleware.py")
    annotations[MIDDLEWARE_ANNOTATION] = "(the text of vllm/middleware.py)"
    return template


def compare(name: str, children: list[dict[str, Any]]) -> None:
    """Holds manifests against a golden file, or writes it."""
    printed = yaml.dump_all(children, Dumper=_Plain, sort_keys=False, width=120)
    golden = HERE / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(printed)
    changed = [line for line in difflib.ndiff(golden.read_text().splitlines(), printed.splitlines()) if line[0] in "+-"]
    assert not changed, f"tests/golden/{name}.yaml differs; if this is meant, UPDATE_GOLDEN=1 pytest tests/golden"


def test_every_field_is_in_a_golden_file() -> None:
    written = {path for file in SERVICES.values() for service in services_in(file) for path in _set_in(service["spec"])}
    for path, _ in SAMPLES:
        # What an item of a list may hold is Kubernetes' or KEDA's, and passed on as it is.
        field = dotted(path).partition("[]")[0]
        assert field in written, (
            f"spec.{field} is in no golden file: set it in tests/control_plane/complete.yaml, or, where it excludes "
            "another field, in a file of tests/golden/services"
        )


def parsed(name: str) -> InferenceService:
    """The service in a file."""
    return service_of(yaml.safe_load(SERVICES[name].read_text()))


@pytest.mark.parametrize("name", SERVICES)
def test_children(name: str) -> None:
    children = render_file(SERVICES[name], HERE / "services" / "settings.yaml" if name in ALLOWED else None)
    for child in children:
        if child["kind"] == "Deployment":
            hidden(child["spec"]["template"])
        if child["kind"] == "LeaderWorkerSet":
            of_ranks = child["spec"]["leaderWorkerTemplate"]
            for name_of in ("leaderTemplate", "workerTemplate"):
                of_ranks[name_of] = hidden(copy.deepcopy(of_ranks[name_of]))
    compare(name, children)


def test_kept_template() -> None:
    owner = parsed("minimal")
    template = hidden(pod_template(owner, Settings()))
    compare("kept-template", [controller_revision(owner, 1, Rendered(template))])
    resolved = [{"field": "maxModelLen", "value": 4096, "from": "ServingClass h100"}]
    compare("kept-template-of-a-class", [controller_revision(owner, 1, Rendered(template, resolved))])


def test_kept_choice() -> None:
    """What the plan chose for tensorParallelSize: auto is kept with the template that it was chosen for."""
    owner = service_of(yaml.safe_load((REPOSITORY / "examples" / "gpus" / "auto.yaml").read_text()))
    why = "2 x NVIDIA-L40S: the only kind of GPU of this cluster that fits"
    chosen = [Resolved("tensorParallelSize", 2, PLAN, why), Resolved("accelerator.product", "NVIDIA-L40S", PLAN, why)]
    template = hidden(pod_template(replace(owner, spec=effective(owner.spec, chosen)), Settings()))
    kept = Rendered(template, [one.to_manifest() for one in chosen])
    compare("kept-template-of-a-choice", [controller_revision(owner, 1, kept)])


def test_inspection() -> None:
    compare("inspection", [inspection(parsed("complete"), Settings(images=Images(operator="vllm-operator:1")))])


def test_download() -> None:
    settings = Settings(images=Images(operator="vllm-operator:1"))
    compare("download", [download(parsed("complete"), "1" * 40, ("NVIDIA-H100-80GB-HBM3",), settings)])


def test_every_example_has_a_golden_file() -> None:
    folder = REPOSITORY / "examples"
    examples = [path for path in [*folder.glob("*.yaml"), *folder.glob("classes/*.yaml")] if render_file(path, None)]
    assert set(examples) <= set(SERVICES.values())


@pytest.mark.parametrize("name", BATCHES)
def test_the_jobs_of_batches(name: str) -> None:
    settings = HERE / "services" / "transfers.yaml" if name in ("batch-buckets", "batch-mixed") else None
    jobs = [child for child in render_file(BATCHES[name], settings) if child["kind"] == "Job"]
    for job in jobs:
        annotations = job["spec"]["template"]["metadata"]["annotations"]
        assert annotations[RUNNER_ANNOTATION] == runner()
        annotations[RUNNER_ANNOTATION] = "(the text of vllm/batch/)"
    compare(name, jobs)
