"""Why a container is not started on its node, from what the kubelet says while it waits."""

import pytest

from support.pod_status import CREATED, SERVED, failed, found, refused, waiting
from vllm_operator.api.reasons import Reason


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('rpc error: code = NotFound desc = failed to pull image "x": not found', "does not exist: check name and tag"),
        ("pull access denied, repository does not exist or may require authorization", "pod.imagePullSecrets"),
        (
            'rpc error: code = NotFound desc = failed to pull and unpack image "x": no match for platform in manifest: '
            "not found",
            "not made for the node's CPU architecture",
        ),
        (
            'choosing image instance: no image found in manifest list for architecture "arm64", variant "v8"',
            "not made for the node's CPU architecture",
        ),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "not made for the node's CPU"),
        (
            "image pull failed for registry/vllm:1 because the signature validation failed: Source image rejected: A "
            "signature was required, but no signature exists",
            "does not trust its signature",
        ),
    ],
)
def test_an_image_that_is_not_pulled_is_told_with_the_cause(message: str, told: str) -> None:
    reason, text = found(waiting("ErrImagePull", message))
    assert (reason, told in text) == (Reason.IMAGE_PULL_FAILED, True), text
    assert "image registry/vllm:1 cannot be pulled" in text
    again = f'Back-off pulling image "registry/vllm:1": ErrImagePull: {message}'
    assert found(waiting("ImagePullBackOff", again))[1] == text


MANIFEST = "https://r.io/v2/a/vllm/manifests/1"
RESOLVING = 'failed to pull and unpack image "r.io/a/vllm:1": failed to resolve reference "r.io/a/vllm:1": '


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("failed to do request: Head: dial tcp: lookup registry: no such host", "cannot reach the registry"),
        (f'{RESOLVING}failed to do request: Head "{MANIFEST}": EOF', "cannot reach the registry"),
        (f"{RESOLVING}failed to copy: httpReadSeeker: unexpected EOF", "cannot reach the registry"),
        (
            f"{RESOLVING}failed to copy: read tcp 10.0.0.1:4433->1.2.3.4:443: read: connection reset by peer",
            "cannot reach the registry",
        ),
        (f'{RESOLVING}failed to do request: Head "{MANIFEST}": context deadline exceeded', "cannot reach the registry"),
        ("image pull failed for r.io/a/vllm:1 because the registry is unavailable", "cannot reach the registry"),
        ("toomanyrequests: You have reached your pull rate limit", "rate limit"),
        (
            f"{RESOLVING}unexpected status code {MANIFEST}: 429 Too Many Requests - Server message: toomanyrequests: "
            "access denied, you have reached your unauthenticated pull rate limit",
            "rate limit",
        ),
        *(
            (f"{RESOLVING}unexpected status from HEAD request to {MANIFEST}: {status}", "registry, or a proxy before")
            for status in ("500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable")
        ),
        (f"{RESOLVING}unexpected status from HEAD request to {MANIFEST}: 520", "registry, or a proxy before"),
        ("Error response from daemon: received unexpected HTTP status: 524 <none>", "registry, or a proxy before"),
        *(
            (f"{RESOLVING}failed to copy: {broken}", "the download broke off: the node tries again")
            for broken in (
                "read tcp 10.0.0.5:43210->104.18.1.1:443: read: connection timed out",
                "httpReadSeeker: failed open: http2: client connection lost",
                "stream error: stream ID 3; INTERNAL_ERROR; received from peer",
                'failed commit on ref "layer-sha256:aa": unexpected commit digest sha256:bb, expected sha256:aa: '
                "failed precondition",
            )
        ),
        (f"{RESOLVING}failed to extract layer sha256:aa: write /x: no space left on device", "disk is full: free it"),
        *(
            (f"{RESOLVING}{broken}", "the pull broke off: the node tries again")
            for broken in (
                "failed to extract layer sha256:aa: context canceled",
                "failed to extract layer sha256:aa: context deadline exceeded",
                "failed to extract layer sha256:aa: mount callback failed on /var/lib/x: unexpected EOF: unknown",
                "failed to register layer: Error processing tar file(exit status 1): unexpected EOF",
                "ApplyLayer exit status 1 stdout:  stderr: read tcp 10.0.0.1:4->1.2.3.4:443: connection reset by peer",
            )
        ),
        ("pull QPS exceeded", "the node pulls many images at once: it tries again"),
        ("rpc error: code = Canceled desc = context canceled", "the node broke the pull off: it tries again"),
        (f"{RESOLVING}write /var/lib/containerd/x: no space left on device", "the node's disk is full: free it"),
    ],
)
def test_a_pull_that_may_go_better_by_itself_passes(message: str, told: str) -> None:
    back_off = f'Back-off pulling image "r.io/a/vllm:1": ErrImagePull: {message}'
    for pulling, said in (("ErrImagePull", message), ("ImagePullBackOff", back_off), ("RegistryUnavailable", message)):
        reason, text = found(waiting(pulling, said))
        assert (reason, told in text, "imagePullSecrets" in text) == (Reason.IMAGE_PULL_DELAYED, True, False), text
    assert reason.passes


@pytest.mark.parametrize("layer", ["failed to extract layer sha256:aa: ", "failed to register layer: ApplyLayer: "])
def test_an_image_that_is_not_unpacked_is_no_registrys_refusal(layer: str) -> None:
    said = f'failed to pull and unpack image "r/v:1": {layer}failed to Lchown "/x" for UID 0, GID 0: permission denied'
    reason, text = found(waiting("ErrImagePull", said))
    assert (reason, "the node cannot unpack it" in text) == (Reason.IMAGE_PULL_FAILED, True), text
    assert "imagePullSecrets" not in text


@pytest.mark.parametrize(
    ("waits", "said"),
    [
        ("CreateContainerError", "context deadline exceeded"),
        (
            "CreateContainerError",
            'failed to reserve container name "vllm_llama-0_a_uid_0": name "vllm_llama-0_a_uid_0" is reserved for "4f"',
        ),
        ("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"),
        ("CreateContainerError", "error reserving ctr name k8s_vllm for id 4f: name k8s_vllm is reserved for 5e"),
    ],
)
def test_a_container_that_its_node_does_not_make_in_time_passes(waits: str, said: str) -> None:
    reason, text = found(waiting(waits, said))
    assert (reason, reason.passes) == (Reason.SANDBOX_FAILED, True)
    assert "node gpu-1 does not make the container of pod llama-0 in time, and tries again" in text


@pytest.mark.parametrize("reason", ["ImageInspectError", "SignatureValidationFailed", "ErrImageNeverPull"])
def test_an_image_that_is_not_used_is_told_whatever_the_kubelets_word(reason: str) -> None:
    got, text = found(waiting(reason, "something odd"))
    assert (got, "something odd" in text) == (Reason.IMAGE_PULL_FAILED, True), text


def test_an_unknown_pull_error_reads_the_same_while_the_kubelet_waits() -> None:
    back_off = 'Back-off pulling image "registry/vllm:1": ErrImagePull: something odd'
    assert found(waiting("ErrImagePull", "something odd")) == found(waiting("ImagePullBackOff", back_off))


@pytest.mark.parametrize(
    ("message", "reason", "told"),
    [
        ('secret "hub" not found', Reason.SECRET_MISSING, "Secret hub does not exist: create it"),
        ('configmap "chat" not found', Reason.CONFIG_MAP_MISSING, "ConfigMap chat does not exist"),
        ("couldn't find key token in Secret team-a/hub", Reason.SECRET_MISSING, "Secret hub has no key token"),
        ("something else", Reason.CONTAINER_CONFIG, "something else"),
    ],
)
def test_what_the_pod_refers_to_is_named_when_it_is_missing(message: str, reason: Reason, told: str) -> None:
    got, text = found(waiting("CreateContainerConfigError", message))
    assert (got, told in text) == (reason, True), text


RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)


def test_an_image_without_vllm_is_told() -> None:
    reason, message = found(refused(f'{RUNC}exec: "vllm": executable file not found in $PATH'))
    assert reason == Reason.CONTAINER_CONFIG
    assert "vLLM in pod llama-0 does not start: image registry/vllm:1 has no command `vllm`" in message


@pytest.mark.parametrize("changed", [CREATED, SERVED])
def test_a_container_that_never_started_neither_served_nor_took_long(changed: str) -> None:
    """Its start is shown as 1970, long before the pod was ready, and longer before its end than a start may take."""
    never = refused(f"{RUNC}something odd", ready_changed=changed, ended="2026-11-24T13:05:00Z")
    assert never.ending
    assert (never.ending.served, never.ending.seconds) == (False, 0)
    reason, message = found(never)
    assert reason == Reason.CONTAINER_FAILED
    assert message.startswith("vLLM in pod llama-0 does not start: ")


HOOK = (
    f"{RUNC}error during container init: error running prestart hook #0: exit status 1, stdout: , stderr: "
    "Auto-detected mode as 'legacy'\nnvidia-container-cli: "
)


@pytest.mark.parametrize(
    ("said", "reason", "told"),
    [
        (
            "requirement error: unsatisfied condition: cuda>=13.0, please update your driver to a newer version, or "
            "use an earlier cuda container",
            Reason.DRIVER_UNSUITABLE,
            "is too old for image registry/vllm:1, which asks for cuda>=13.0: the node's NVIDIA driver must be",
        ),
        (
            "initialization error: nvml error: driver not loaded",
            Reason.GPU_UNAVAILABLE,
            "node gpu-1 cannot give it its GPUs (initialization error: nvml error: driver not loaded): check the",
        ),
        (
            "device error: GPU-1: unknown device",
            Reason.GPU_UNAVAILABLE,
            "(device error: GPU-1: unknown device): check the NVIDIA driver and container toolkit there",
        ),
    ],
)
def test_gpus_that_the_container_does_not_get_are_told_with_what_to_do(said: str, reason: Reason, told: str) -> None:
    got, message = found(refused(f"{HOOK}{said}: unknown"))
    assert (got, told in message) == (reason, True), message
    assert found(failed(f"{HOOK}{said}"))[0] == Reason.CONTAINER_FAILED, "vLLM may say anything"
