"""`kubectl vllm batch run` from its submission to the files of the answers, on a cluster in memory."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.kube import Object
from support.user_client import FakeClient, log_of
from vllm_operator.cli.batch_run import command, fetching, printing
from vllm_operator.cli.batch_run.command import ALL_ANSWERED, SOME_FAILED, Errand, _whole
from vllm_operator.cli.batch_run.fetching import pod, unpacked, where
from vllm_operator.cli.batch_run.following import MOST_MISSES, MOST_STALLED, Screen, standing
from vllm_operator.cli.batch_run.submission import Submission
from vllm_operator.cli.fleet.client import AskedWrongError, FleetError, LoggedOutError, NotThereError
from vllm_operator.cli.options import command_line
from vllm_operator.settings import PodSecurity

NEEDS = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b-input"}},
    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "b-output"}},
]
SPEC: Object = {
    "template": {"model": {"uri": "hf://a/b"}, "pod": {"imagePullSecrets": ["pull"]}},
    "input": {"configMapKeyRef": {"name": "b-input", "key": "in.jsonl"}},
    "output": {"uri": "pvc://b-output/out"},
}
BATCH: Object = {
    "apiVersion": "vllm-operator.dev/v1alpha1",
    "kind": "InferenceBatch",
    "metadata": {"name": "b", "uid": "u1"},
    "spec": SPEC,
}


def batch(condition: str, reason: str = "Answering", message: str = "it runs", **status: Any) -> Object:
    kinds = {condition: "True", "Ready": "True" if condition == "Complete" else "False"}
    conditions = [
        {"type": kind, "status": value, "reason": reason, "message": message} for kind, value in kinds.items()
    ]
    return BATCH | {"status": {"conditions": conditions, "image": "vllm:1", "startedAt": "t", **status}}


ENDED = batch("Complete", "Merged", "2 answered", done=2, failed=0, total=2)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def at_once(_: float) -> None:
    """A wait that takes no time."""


def errand(tmp_path: Path, stream: io.StringIO | None = None) -> Errand:
    made = Errand(tmp_path / "out.jsonl", Screen(stream or io.StringIO()), at_once)
    made.named = ("team-a", "b")
    return made


def client(*shown: Object | FleetError, answers: bytes = b"{}\n", errors: bytes = b"", **more: Any) -> FakeClient:
    logs = {"answers": log_of(answers), "errors": log_of(errors)}
    return FakeClient(shown=list(shown), logs=logs, **{"exits": {"answers": 0, "errors": 0}, **more})


def test_what_a_batch_needs_is_made_first_and_goes_with_it(tmp_path: Path) -> None:
    cluster = client()
    asyncio.run(errand(tmp_path).submit(cluster, "team-a", Submission(NEEDS, BATCH)))
    assert [kind for verb, kind in cluster.done if verb == "create"] == [
        "ConfigMap",
        "PersistentVolumeClaim",
        "InferenceBatch",
    ]
    for kind, name in (("ConfigMap", "b-input"), ("PersistentVolumeClaim", "b-output")):
        owner = {"kind": "InferenceBatch", "uid": "uid-of-b"}
        assert cluster.objects[kind, name]["metadata"]["ownerReferences"] == [owner]


@pytest.mark.parametrize("kind", ["PersistentVolumeClaim", "InferenceBatch"])
def test_a_refusal_leaves_nothing_behind(tmp_path: Path, kind: str) -> None:
    cluster = client(refuse={("create", kind): FleetError("forbidden")})
    run = errand(tmp_path)
    run.named = None
    with pytest.raises(FleetError, match="forbidden"):
        asyncio.run(run.submit(cluster, "team-a", Submission(NEEDS, BATCH)))
    assert cluster.objects == {}
    assert run.named is None


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    cluster = client(refuse={("create", "ConfigMap"): FleetError("already exists")})
    with pytest.raises(FleetError, match="already exists"):
        asyncio.run(errand(tmp_path).submit(cluster, "team-a", Submission(NEEDS, BATCH)))
    assert cluster.done == [("create", "ConfigMap")]


def test_an_interrupt_does_not_cut_a_submission_in_half() -> None:
    done = []

    async def step() -> None:
        for part in (1, 2):
            await asyncio.sleep(0)
            done.append(part)

    async def interrupted() -> None:
        task = asyncio.ensure_future(_whole(step()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupted())
    assert done == [1, 2]


def test_the_answers_are_brought(tmp_path: Path) -> None:
    cluster = client(batch("Running"), FleetError("cannot reach the cluster"), ENDED, answers=b'{"a": 1}\n' * 9000)
    run = errand(tmp_path)
    assert asyncio.run(run.bring(cluster)) == ALL_ANSWERED
    assert (tmp_path / "out.jsonl").read_bytes() == b'{"a": 1}\n' * 9000
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert cluster.objects == {}, "the pod is gone"


def test_what_failed_is_brought_beside_them(tmp_path: Path) -> None:
    cluster = client(batch("Complete", done=1, failed=1, total=2), errors=b'{"error": {}}\n')
    stream = io.StringIO()
    assert asyncio.run(errand(tmp_path, stream).bring(cluster)) == SOME_FAILED
    assert (tmp_path / "out.errors.jsonl").read_bytes() == b'{"error": {}}\n'
    assert "out.errors.jsonl" in stream.getvalue()


def test_of_a_batch_that_expired_what_was_answered_is_brought(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"out.jsonl has what was answered: it expired"):
        asyncio.run(errand(tmp_path).bring(client(batch("Failed", "Expired", "it expired"))))
    assert (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (batch("Failed", "InputInvalid", "of 2 lines 1 invalid"), "batch b failed: of 2 lines 1 invalid"),
        (batch("Failed", "Expired", "no pod had started", startedAt=None), "batch b failed: no pod had started"),
        (batch("Stalled", "Invalid", "there is no claim data"), "batch b cannot go on: there is no claim data"),
        (NotThereError("b not found"), "b not found"),
        (FleetError("cannot reach the cluster"), "cannot reach the cluster"),
    ],
)
def test_what_does_not_end_well_is_one_sentence(tmp_path: Path, shown: Object | FleetError, said: str) -> None:
    cluster = client(shown)
    with pytest.raises(FleetError, match=said):
        asyncio.run(errand(tmp_path).bring(cluster))
    assert cluster.done == []
    assert list(tmp_path.iterdir()) == []


def test_a_trouble_that_passes_is_waited_for(tmp_path: Path) -> None:
    stalled = [batch("Stalled", "Invalid", "there is no claim")] * MOST_STALLED
    missed: list[Object | FleetError] = [FleetError("cannot reach the cluster")] * MOST_MISSES
    assert asyncio.run(errand(tmp_path).bring(client(*stalled, *missed, batch("Running"), ENDED))) == ALL_ANSWERED


@pytest.mark.parametrize(
    ("exits", "said"),
    [
        (
            {"answers": printing.TOO_LARGE, "errors": 0},
            "too large to come through a log: take it from pvc://b-output/out",
        ),
        ({"answers": printing.NOT_THERE, "errors": 0}, "not in pvc://b-output/out any more"),
        ({"answers": 137, "errors": 0}, "was ended before that"),
        ({"errors": 0}, "was ended before that"),
        ({}, "did not run: Back-off pulling image; fetch it again"),
    ],
)
def test_an_output_that_cannot_be_printed(tmp_path: Path, exits: dict[str, int], said: str) -> None:
    cluster = client(ENDED, exits=exits)
    with pytest.raises(FleetError, match=said):
        asyncio.run(errand(tmp_path).bring(cluster))
    assert cluster.objects == {}, "the pod is gone"
    assert list(tmp_path.iterdir()) == []


def test_the_pod_is_the_users_and_the_batchs() -> None:
    made = pod(ENDED, PodSecurity())
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert "labels" not in made["metadata"], "the operator would count it"
    spec = made["spec"]
    assert spec["volumes"] == [{"name": "output", "persistentVolumeClaim": {"claimName": "b-output"}}]
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["automountServiceAccountToken"] is False
    assert [one["args"][0] for one in spec["containers"]] == [
        "/batch/output/out/in.jsonl",
        "/batch/output/out/in.errors.jsonl",
    ]
    assert all(mount["readOnly"] for one in spec["containers"] for mount in one["volumeMounts"])


def test_where_the_namespace_says_who_pods_run_as_the_pod_says_nothing(tmp_path: Path) -> None:
    class OpenShift(FakeClient):
        async def create(self, kind: str, namespace: str, manifest: Object) -> Object:
            if "runAsUser" in manifest["spec"]["securityContext"]:
                raise FleetError("forbidden: unable to validate against any security context constraint: [...]")
            return await super().create(kind, namespace, manifest)

    logs = {"answers": log_of(b"{}"), "errors": log_of(b"")}
    cluster = OpenShift(shown=[ENDED], logs=logs, exits={"answers": 0, "errors": 0})
    assert asyncio.run(errand(tmp_path).bring(cluster)) == ALL_ANSWERED
    refused = client(ENDED, refuse={("create", "Pod"): FleetError("pods is forbidden")})
    with pytest.raises(FleetError, match="pods is forbidden"):
        asyncio.run(errand(tmp_path).bring(refused))
    assert refused.done == [("create", "Pod")]


def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *clients: FakeClient) -> int:
    """The exit status of `batch fetch` whose connections, one after the other, are these."""
    left = list(clients)

    @asynccontextmanager
    async def connect(*_: object) -> AsyncIterator[FakeClient]:
        yield left.pop(0)

    monkeypatch.setattr(command, "connect", connect)
    words = ["batch", "fetch", "b", "-n", "team-a", "-o", str(tmp_path / "out.jsonl")]
    return command.run(command_line("kubectl-vllm").parse_args(words))


def test_an_interrupt_leaves_the_batch_and_says_how_to_follow_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(FakeClient):
        async def get(self, kind: str, namespace: str, name: str) -> Object:
            raise KeyboardInterrupt

    assert ran(monkeypatch, tmp_path, client(ENDED), Interrupted()) == 130
    said = capsys.readouterr().err
    assert f"kubectl vllm batch fetch b -n team-a -o {tmp_path}/out.jsonl" in said
    assert "kubectl delete vib b -n team-a" in said


def test_a_token_that_has_expired_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clients = [client(ENDED), client(LoggedOutError("log in again")), client(ENDED)]
    with pytest.raises(FleetError, match="log in again"):
        ran(monkeypatch, tmp_path, *clients)
    monkeypatch.setattr(command, "SHORTEST_LOGIN_SECONDS", 0.0)
    assert ran(monkeypatch, tmp_path, *clients) == ALL_ANSWERED


def test_there_must_be_a_folder_for_the_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(AskedWrongError, match="there is no folder"):
        ran(monkeypatch, tmp_path / "none")


def test_the_files_of_a_folder_are_left_on_the_claim() -> None:
    folder = ENDED | {"spec": {**SPEC, "input": {"uri": "pvc://data/in"}}}
    with pytest.raises(FleetError, match="they are in pvc://b-output/out"):
        where(folder)


def test_an_output_in_a_bucket_is_left_there() -> None:
    there = {"uri": "s3://data/out", "objectStore": {"endpoint": "https://minio.storage.svc:9000"}}
    with pytest.raises(FleetError, match=r"take it from there: s3://data/out at https://minio\.storage\.svc:9000"):
        where(ENDED | {"spec": {**SPEC, "output": there}})
    with pytest.raises(FleetError, match="take it from there: s3://data/out at AWS"):
        where(ENDED | {"spec": {**SPEC, "output": {"uri": "s3://data/out"}}})


def test_the_answers_to_a_file_of_a_bucket_have_its_name() -> None:
    found = where(ENDED | {"spec": {**SPEC, "input": {"uri": "s3://data/2026/in.jsonl"}}})
    assert found[2] == ("in.jsonl", "in.errors.jsonl")


def test_a_quota_may_count_all_that_the_pod_takes() -> None:
    for container in pod(ENDED, PodSecurity())["spec"]["containers"]:
        for said in ("requests", "limits"):
            assert container["resources"][said].keys() == {"cpu", "memory", "ephemeral-storage"}


def program(path: Path, most_file: int = 1 << 20, most_printed: int = 1 << 20) -> tuple[int, str]:
    """The pod's program as its container runs it: exit status and log."""
    made = pod(ENDED, PodSecurity())["spec"]["containers"][0]["command"]
    words = [sys.executable, *made[1:], str(path), str(most_file), str(most_printed)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("size", [0, 1, 56, 57, 65536, 500_000])
def test_what_is_printed_is_what_was_there(tmp_path: Path, size: int) -> None:
    content = bytes((7 * at * at + at // 256) % 251 for at in range(size))
    (tmp_path / "in.jsonl").write_bytes(content)
    status, log = program(tmp_path / "in.jsonl")
    assert status == 0
    assert unpacked(log) == content


def test_a_file_over_a_limit_is_not_printed_on_and_on(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(bytes((7 * at * at + at // 256) % 251 for at in range(500_000)))
    assert program(tmp_path / "in.jsonl", most_file=400_000)[0] == printing.TOO_LARGE
    status, log = program(tmp_path / "in.jsonl", most_printed=1000)
    assert status == printing.TOO_LARGE
    assert len(log) <= 1000
    assert program(tmp_path / "gone.jsonl") == (printing.NOT_THERE, "")


@pytest.mark.parametrize("cut", [slice(0, -80), slice(80, None), slice(0, 0)])
def test_a_log_with_a_part_missing_is_noticed(cut: slice) -> None:
    content = b"".join(b"%d\n" % (at * at) for at in range(1000))
    with pytest.raises(FleetError, match=r"fetch it again"):
        unpacked(log_of(content)[cut])


def test_a_terminal_has_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest asks as well.
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((400, 24)))
    stream = Terminal()
    screen = Screen(stream)
    runs = batch("Running", done=640, failed=2, total=1000, tokensPerSecond=5120, estimatedEnd="12:00Z")
    line = "b: [###############---------] 64%, 640 of 1,000 answered, 2 failed, 5,120 tokens/s, ends 12:00Z"
    for _ in range(2):
        screen.show(standing(runs, bar=True))
    assert stream.getvalue() == f"\r\x1b[K{line}"
    screen.show("an \x1b[31mevil\x1b]0;x\x07 message")
    assert stream.getvalue().endswith("\r\x1b[Kan evil message")
    screen.say("done")
    assert stream.getvalue().endswith("message\ndone\n")


def test_elsewhere_a_line_is_written_when_something_changed(tmp_path: Path) -> None:
    stream = io.StringIO()
    running = [batch("Running", done=done, total=1000) for done in (0, 1, 2, 10, 15)]
    early = BATCH | {"status": {}}
    asyncio.run(errand(tmp_path, stream).bring(client(early, batch("Running"), *running, ENDED)))
    lines = stream.getvalue().splitlines()
    assert lines[:4] == [
        "b: waits for the operator",
        "b: it runs",
        "b: 0% of 1,000 requests",
        "b: 1% of 1,000 requests",
    ]
    assert len(lines) == 7, lines
    assert fetching.LOG_BYTES < 10 << 20, "kubelets rotate logs there"
