"""What a user may write in an InferenceBatch, and what the operator reports of it.

The engine of a batch is a part of an InferenceService's spec: what holds for a field there holds here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic.alias_generators import to_camel

from .base import ApiModel, KeyRef, Limits, ObjectName, Rule, ShortText, optional, required, rule, with_rules
from .conditions import ConditionType
from .parts import part_of
from .reasons import Reason
from .resource import Key
from .spec import SPEC_RULES, InferenceServiceSpec, ServingClassName
from .status import Condition
from .storage import BUCKET_PATH, CLAIM, DOTS, ObjectStore

# Fields of a service that the engine of a batch does not have, each with why.
NOT_OF_A_BATCH: Mapping[str, str] = {
    "serving_class_name": "spec.servingClassName of the batch",
    "replicas": "spec.parallelism of the batch",
    "runtime": "a batch has a program of its own around vLLM",
    "nodes_per_replica": "each pod of a batch holds a whole engine",
    "autoscaling": "spec.parallelism of the batch",
    "suspend": "spec.suspend of the batch",
    "network_policy": "nobody sends requests to a batch",
    "api_key_secret_ref": "nobody sends requests to a batch",
    "api_key_secret_refs": "nobody sends requests to a batch",
    "max_queued_requests": "nobody sends requests to a batch",
    "rollout": "the pods of a batch are never replaced by others",
}
MOST_PODS = 256
_BUCKET = rf"s3://{BUCKET_PATH}"
_REQUESTS = rf"{_BUCKET}(/|/[A-Za-z0-9._=+@-]*[.]jsonl)"
BUCKET = "s3://"
_S3, _GS = "self.startsWith('s3://')", "self.startsWith('gs://')"
_FORMS = [
    rule(f"!{_GS}", "gs:// is not for batches: use s3://bucket/path or pvc://claim/path"),
    rule(f"!{DOTS}", "must not contain . or .. as a part of the path"),
    rule(
        f"{_GS} || {_S3} || {DOTS} || self.matches(r'^({CLAIM})$')",
        "must be pvc://claim or pvc://claim/path, or s3://bucket/path",
    ),
]
INPUT_RULES = [
    *_FORMS,
    rule(
        f"!{_S3} || {DOTS} || self.matches(r'^({_REQUESTS})$')",
        "must be s3://bucket/path/file.jsonl for one file, or s3://bucket/path/ for those of a folder",
    ),
]
OUTPUT_RULES = [
    *_FORMS,
    rule(f"!{_S3} || {DOTS} || self.matches(r'^({_BUCKET}/?)$')", "must be s3://bucket or s3://bucket/path"),
]
_STORE = "How the bucket of s3:// is reached, as in model.objectStore."
_STORE_EXAMPLE = {"endpoint": "https://minio.storage.svc:9000", "credentialsSecretName": "s3-keys"}
NO_DEVICE_CLASS = "a batch cannot have devices of a class: use accelerator.resource"
PlaceUri = Annotated[str, Limits(max_length=512)]

if TYPE_CHECKING:  # what is made at import has no type that mypy could know: it is a part of this
    BatchEngine = InferenceServiceSpec
else:
    BatchEngine = part_of(
        InferenceServiceSpec,
        "BatchEngine",
        "A model, and how vLLM runs it: the part of an InferenceService's spec that an engine has.",
        NOT_OF_A_BATCH,
        rules=[
            *(one for one in SPEC_RULES if not any(f"self.{to_camel(name)}" in one["rule"] for name in NOT_OF_A_BATCH)),
            rule(
                "!has(self.cache) || !has(self.cache.claim)",
                "a batch makes no claim: name one that is there in cache.existingClaim",
            ),
            rule(
                "!has(self.kvCache) || !has(self.kvCache.events)",
                "kvCache.events is for those who route requests to a service: leave it out of a batch",
            ),
            rule("!has(self.accelerator) || !has(self.accelerator.deviceClass)", NO_DEVICE_CLASS),
        ],
        required=("model", "accelerator"),
    )


class BatchInput(ApiModel):
    """Where the requests are: files of OpenAI's batch format, one JSON object on each line."""

    model_config = with_rules(
        rule("has(self.uri) != has(self.configMapKeyRef)", "input needs either uri or configMapKeyRef, and not both"),
        rule(
            "!has(self.objectStore) || (has(self.uri) && self.uri.startsWith('s3://'))",
            "input.objectStore is for s3:// only: remove it",
        ),
    )

    uri: PlaceUri | None = optional(
        "A file, or a folder of files: pvc://claim/path on a claim in this namespace; s3://bucket/path/file.jsonl, or "
        "s3://bucket/path/ for a folder.",
        "pvc://data/in.jsonl",
        rules=INPUT_RULES,
    )
    config_map_key_ref: KeyRef | None = optional(
        "A key of a ConfigMap, for a small input.", {"name": "questions", "key": "in.jsonl"}
    )
    object_store: ObjectStore | None = optional(_STORE, _STORE_EXAMPLE)


class BatchOutput(ApiModel):
    """Where the answers go."""

    model_config = with_rules(
        rule(
            "!has(self.objectStore) || self.uri.startsWith('s3://')", "output.objectStore is for s3:// only: remove it"
        )
    )

    uri: PlaceUri = required(
        "A folder, which is made where it is not there: pvc://claim/path on a claim in this namespace, or "
        "s3://bucket/path.",
        "pvc://data/out",
        rules=OUTPUT_RULES,
    )
    object_store: ObjectStore | None = optional(_STORE, _STORE_EXAMPLE)


class ServiceRef(ApiModel):
    """An InferenceService in the namespace of the batch."""

    name: ObjectName = required("Its name.", "llama-70b")


def _fixed(field: str, *parts: str) -> str:
    """That a field is as it was, or these parts of it are."""
    same = " && ".join(f"self.{one} == oldSelf.{one}" for one in [f"{field}.{part}" for part in parts] or [field])
    either = f"({same})" if parts else same
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || {either})"


def _same_store(part: str) -> Rule:
    """What is in a bucket has to be found there again; its keys may be others."""
    store, before = f"self.{part}.objectStore", f"oldSelf.{part}.objectStore"
    ends = [f"(has({one}) && has({one}.endpoint) ? {one}.endpoint : '')" for one in (store, before)]
    return rule(f"{ends[0]} == {ends[1]}", f"{part}.objectStore.endpoint cannot be changed: {_ANEW}", path=f".{part}")


_ANEW = "make a new batch, which may have the same output"
_PLACES = (("uri",), ("configMapKeyRef", "name", "key"))


class InferenceBatchSpec(ApiModel):
    """Requests that are in files, and the engine that answers them."""

    model_config = with_rules(
        rule("has(self.template) != has(self.serviceRef)", "set either template or serviceRef, and not both"),
        rule(_fixed("parallelism"), f"parallelism cannot be changed: {_ANEW}", path=".parallelism"),
        rule("self.output.uri == oldSelf.output.uri", f"output.uri cannot be changed: {_ANEW}", path=".output"),
        *(_same_store(part) for part in ("input", "output")),
        rule(
            " && ".join(_fixed(f"input.{field}", *parts) for field, *parts in _PLACES),
            f"input cannot be changed: {_ANEW}",
            path=".input",
        ),
    )

    serving_class_name: ServingClassName | None = optional(
        'The ServingClass that fills in what template leaves out; omitted: the default class, where there is one; "": '
        "none.",
        "h100",
    )
    template: BatchEngine | None = optional(
        "The model, and how vLLM runs it: as in an InferenceService.", {"model": {"uri": "hf://Qwen/Qwen3-8B-AWQ"}}
    )
    service_ref: ServiceRef | None = optional(
        "A service whose model and tuning the batch takes, in pods of its own; in place of template.",
        {"name": "llama-70b"},
    )
    input: BatchInput = required("Where the requests are.", {"uri": "pvc://data/in.jsonl"})
    output: BatchOutput = required("Where the answers go.", {"uri": "pvc://data/out"})
    parallelism: int | None = optional(
        "Pods, each with all its ranks and an equal part of the requests (default 1).", 4, ge=1, le=MOST_PODS
    )
    on_invalid: Literal["Fail", "Skip"] | None = optional(
        "What invalid lines of the input do: Fail (the default) answers nothing; Skip puts them into the error file.",
        "Skip",
    )
    max_retries_per_request: int | None = optional(
        "How often a request that failed is tried again before it goes to the error file (default 2).", 2, ge=0, le=100
    )
    max_in_flight: int | None = optional(
        "Most requests that each pod gives its engine at once (default: twice maxNumSeqs).", 1024, ge=1, le=65536
    )
    expire_after_seconds: int | None = optional(
        "Seconds from the batch's creation after which it ends; what was answered by then is in the output.",
        86400,
        ge=60,
        le=31536000,
    )
    ttl_seconds_after_finished: int | None = optional(
        "Seconds after its end when the batch is deleted; omitted: never. Its output stays.",
        604800,
        ge=0,
        le=31536000,
    )
    suspend: bool | None = optional(
        "Whether the batch has no pods for now: frees their GPUs, and keeps what was answered.", True
    )


_READY = {"type": ConditionType.READY.value, "status": "False", "reason": Reason.ANSWERING.value}


class InputStatus(ApiModel):
    """What the check of the input found."""

    total: int | None = optional("Lines of all files.", 1000)
    valid: int | None = optional("Requests among them.", 998)
    invalid: int | None = optional("Lines that are none.", 1)
    duplicates: int | None = optional("Requests whose custom_id an earlier line has.", 1)
    too_long: int | None = optional("Requests that are longer than the model's context.", 0)
    files: int | None = optional("Files.", 1)


class InferenceBatchStatus(ApiModel):
    """Written by the operator."""

    observed_generation: int | None = optional(
        "Generation of the spec that this status is about; -1 before the operator has seen the batch.", 1
    )
    conditions: list[Condition] | None = optional(
        "What is true of the batch now.", [_READY], max_length=16, list_type="map", list_map_keys=["type"]
    )
    input: InputStatus | None = optional("What the check of the input found.", {"total": 1000, "valid": 1000})
    total: int | None = optional("Requests that are to be answered.", 1000)
    done: int | None = optional("Requests that were answered.", 640)
    failed: int | None = optional("Requests that go to the error file.", 2)
    prompt_tokens: int | None = optional("Tokens of the prompts that were answered.", 81920)
    output_tokens: int | None = optional("Tokens of the answers.", 40960)
    tokens_per_second: int | None = optional("Tokens of prompts and answers in a second now, of all pods.", 5120)
    estimated_end: ShortText | None = optional(
        "When the last request will be answered at this pace, to the minute.", "2026-11-24T12:00Z"
    )
    gpus: int | None = optional("GPUs that all pods take together.", 8)
    image: str | None = optional("Image that the pods run.", "vllm/vllm-openai:v0.32.0", max_length=512)
    started_at: ShortText | None = optional("When the first pod was to be made.", "2026-11-24T11:00:00Z")
    finished_at: ShortText | None = optional("When the batch ended.", "2026-11-24T12:00:00Z")


@dataclass(frozen=True, slots=True)
class InferenceBatch:
    """An InferenceBatch in the cluster (or in a file, with an empty uid)."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: InferenceBatchSpec
    queue: str | None = None
    """The Kueue queue that the batch's label names."""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return Key(self.namespace, self.name)

    @property
    def pods(self) -> int:
        """Pods that share the requests."""
        return self.spec.parallelism or 1

    @property
    def uris(self) -> dict[str, str]:
        """Where `input` and `output` are, but for a ConfigMap."""
        uris = {"input": self.spec.input.uri, "output": self.spec.output.uri}
        return {part: uri for part, uri in uris.items() if uri}

    def claims(self) -> dict[str, str]:
        """What of the batch is on which claim: the claim's name by `input` and `output`."""
        scheme = "pvc://"
        on_claims = {part: uri for part, uri in self.uris.items() if uri.startswith(scheme)}
        return {part: uri.removeprefix(scheme).split("/", 1)[0] for part, uri in on_claims.items()}

    def buckets(self) -> dict[str, ObjectStore | None]:
        """What of the batch is in buckets, by `input` and `output`, and how those are reached."""
        stores = {"input": self.spec.input.object_store, "output": self.spec.output.object_store}
        return {part: stores[part] for part, uri in self.uris.items() if uri.startswith(BUCKET)}
