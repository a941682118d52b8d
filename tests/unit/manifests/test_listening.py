"""Where pods have IPv6 addresses, all that they listen on is reached there; elsewhere, nothing of it is said."""

import json
import re
from pathlib import Path

import pytest
import yaml

from cluster.host import REPOSITORY
from support.snapshots import service
from vllm_operator.cli.render import render_file
from vllm_operator.manifests import Parts, desired, pod_template
from vllm_operator.settings import Settings
from vllm_operator.vllm.environment import environment

SERVED = {
    "one pod": "tiny.yaml",
    "a group": "gpus/two-nodes.yaml",
    "Ray": "ray/ray-serve.yaml",
    "a batch": "batch/batch.yaml",
}
# What stands for an IPv4 address, and what stands there where pods have IPv6.
ADDRESSES = (
    ("--host=0.0.0.0", "--host=::"),
    ("host: 0.0.0.0\\n", "host: '::'\\n"),
    ('"dashboard-host": "0.0.0.0"', '"dashboard-host": "::"'),
)
FAMILY = {"name": "NCCL_SOCKET_FAMILY", "value": "AF_INET6"}


def rendered(file: str, folder: Path, **settings: str) -> str:
    """All that is made of a file; the name of a Ray cluster, which is a digest of it, left out."""
    (folder / "settings.yaml").write_text(yaml.safe_dump({"allowedImages": ["**"], **settings}))
    made = json.dumps(render_file(REPOSITORY / "examples" / file, folder / "settings.yaml"))
    return re.sub(r"-r[0-9a-f]{5}\b", "-r", made)


@pytest.mark.parametrize("file", SERVED.values(), ids=SERVED)
def test_no_address_is_of_ipv4_only_where_pods_have_ipv6(file: str, tmp_path: Path) -> None:
    before, after = rendered(file, tmp_path), rendered(file, tmp_path, ipFamily="IPv6")
    assert "0.0.0.0" in before
    assert "0.0.0.0" not in after
    # And nothing else is another: but for what groups tell NCCL.
    after = after.replace(f", {json.dumps(FAMILY)}", "")
    for ipv4, ipv6 in ADDRESSES:
        after = after.replace(ipv6, ipv4)
    assert after == before


@pytest.mark.parametrize("file", SERVED.values(), ids=SERVED)
def test_where_pods_have_ipv4_all_is_as_without_the_setting(file: str, tmp_path: Path) -> None:
    assert rendered(file, tmp_path) == rendered(file, tmp_path, ipFamily="IPv4")


def test_ranks_over_several_nodes_exchange_data_by_ipv6_unless_env_says_otherwise() -> None:
    ipv6 = Settings(ip_family="IPv6")
    assert FAMILY in environment(service(nodesPerReplica=2).spec, ipv6)
    assert FAMILY not in environment(service(nodesPerReplica=2).spec, Settings())
    assert FAMILY not in environment(service().spec, ipv6)
    given = {**FAMILY, "value": "AF_INET"}
    told = environment(service(nodesPerReplica=2, env=[given]).spec, ipv6)
    assert [one for one in told if one["name"] == FAMILY["name"]] == [given]


@pytest.mark.parametrize(
    ("word", "host"), [("--host=::", "::"), ("--host=0.0.0.0", "0.0.0.0"), ("--host=$(x)", "0.0.0.0")]
)
def test_ray_listens_as_the_kept_template_says_and_takes_no_other_word_of_it(word: str, host: str) -> None:
    owner = service(runtime="RayServe", image="vllm-ray:1")
    template = pod_template(owner, Settings())
    args = template["spec"]["containers"][0]["args"]
    args[args.index("--host=0.0.0.0")] = word
    (ray,) = [one for one in desired(Parts(owner, template), ("RayService",)) if one["kind"] == "RayService"]
    assert ray["spec"]["rayClusterConfig"]["headGroupSpec"]["rayStartParams"]["dashboard-host"] == host
    assert yaml.safe_load(ray["spec"]["serveConfigV2"])["http_options"]["host"] == host
