"""Where models and caches are: the URIs of models, and the cache's claim."""

from typing import Annotated, Literal

from .base import ApiModel, Bytes, Form, Limits, ObjectName, Rule, more_than_zero, optional, required, rule, with_rules

# hf://organisation/name, pvc://claim or pvc://claim/path/in/the/claim
_HUB = r"hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
CLAIM = r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9._-]+)*"
BUCKET_PATH = r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[A-Za-z0-9._=+@-]+)*"
_BUCKET = rf"(s3|gs)://{BUCKET_PATH}/?"
# As container runtimes take it, with a tag, a digest or both.
_IMAGE = (
    r"oci://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+(([.]|_{1,2}|-+)[a-z0-9]+)*)+"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(@sha256:[a-f0-9]{64})?|@sha256:[a-f0-9]{64})"
)
BUCKETS = ("s3://", "gs://")
IMAGE = "oci://"
# Whoever makes the volume decides which folder pods see. In one line: a message of the API server has no more.
_VOLUME = (
    "a folder of the nodes is not mounted by a service, as it could read any file of theirs: a cluster administrator "
    "makes a volume of it once, {apiVersion: v1, kind: PersistentVolume, metadata: {name: models}, spec: {capacity: "
    '{storage: 1Ti}, accessModes: [ReadOnlyMany], storageClassName: "", persistentVolumeReclaimPolicy: Retain, local: '
    "{path: PATH}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, "
    "operator: In, values: [NODE]}]}]}}}}, and you a claim, {apiVersion: v1, kind: PersistentVolumeClaim, metadata: "
    '{name: models}, spec: {volumeName: models, accessModes: [ReadOnlyMany], storageClassName: "", resources: '
    "{requests: {storage: 1Ti}}}}; then use pvc://models"
)
# Where the API server cannot make that sentence.
_NO_FOLDER = "a folder of the nodes is not mounted by a service: use a claim of a volume that has it (pvc://claim)"
_OF_NODE = "(self.startsWith('hostpath://') || self.startsWith('file://') || self.startsWith('/'))"
_PATH = "self.replace('hostpath://', '').replace('file://', '')"
_GGUF = "self.lowerAscii().endsWith('.gguf')"
_FILE = "(self.matches('^hf://[^/]+/[^/]+/'))"
DOTS = "self.matches(r'(^|/)[.][.]?(/|$)')"


def _quoted(text: str) -> str:
    """A string of CEL."""
    return "'" + text.replace("'", "\\'") + "'"


_KNOWN = rule(f"!{_OF_NODE}", _NO_FOLDER, message_expression=f" + {_PATH} + ".join(map(_quoted, _VOLUME.split("PATH"))))
_FORMS = [
    _KNOWN,
    rule(
        f"{_OF_NODE} || !{_GGUF}",
        "vLLM serves no GGUF any more: name a repository, or a folder, with the model's safetensors (an AWQ, GPTQ or "
        "fp8 checkpoint is as small)",
    ),
    rule(
        f"{_OF_NODE} || {_GGUF} || !{_FILE}",
        "names a file or a folder within a repository, and vLLM serves a repository as a whole: leave out what comes "
        "after hf://organisation/name (a commit goes into `revision`), or copy the folder into a claim",
    ),
    rule(f"{_OF_NODE} || {_GGUF} || {_FILE} || !{DOTS}", "must not contain . or .. as a part of the path"),
]
_SAID = f"{_OF_NODE} || {_GGUF} || {_FILE} || {DOTS}"
_ELSEWHERE = f"self.matches('^({'|'.join((*BUCKETS, IMAGE))})')"
URI_RULES = [
    *_FORMS,
    rule(
        f"{_SAID} || !{_ELSEWHERE}",
        "s3://, gs:// and oci:// are for model.uri only: use hf://organisation/name or pvc://claim/path",
    ),
    rule(
        f"{_SAID} || {_ELSEWHERE} || self.matches(r'^({_HUB}|{CLAIM})$')",
        "must be hf://organisation/name (a commit goes into `revision`) or pvc://claim/path",
    ),
]
MODEL_URI_RULES = [
    *_FORMS,
    rule(
        f"{_SAID} || self.matches(r'^({_HUB}|{CLAIM}|{_BUCKET}|{_IMAGE})$')",
        "must be hf://organisation/name (a commit goes into `revision`), pvc://claim/path, s3://bucket/path, "
        "gs://bucket/path or oci://registry/repository:tag",
    ),
]
Uri = Annotated[str, Limits(max_length=512)]


def _mode(claim: str) -> str:
    return f"(has({claim}.accessMode) ? {claim}.accessMode : 'ReadWriteOnce')"


def holds_weights(name: str) -> Rule:
    """The rule that a claim's `storage`, which is called `name`, is not of no bytes where it is there."""
    return more_than_zero(name, "the volume holds the model's weights", "!has(self.storage) || self.storage")


class Claim(ApiModel):
    """A PersistentVolumeClaim that the operator makes for the cache."""

    model_config = with_rules(
        rule(
            "has(self.storageClassName) == has(oldSelf.storageClassName)"
            " && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
            "cache.claim.storageClassName cannot be changed: make a claim of the other class yourself "
            "and name it in cache.existingClaim",
            path=".storageClassName",
        ),
        rule(
            f"{_mode('self')} == {_mode('oldSelf')}",
            "cache.claim.accessMode cannot be changed: make a claim with the other mode yourself "
            "and name it in cache.existingClaim",
            path=".accessMode",
        ),
        rule(
            "!isQuantity(self.storage) || !isQuantity(oldSelf.storage)"
            " || quantity(self.storage).compareTo(quantity(oldSelf.storage)) >= 0",
            "cache.claim.storage can grow but not shrink: Kubernetes cannot shrink a volume",
            path=".storage",
        ),
        holds_weights("cache.claim.storage"),
    )

    storage: Bytes = required("Size of the volume; at least the model's weights.", "200Gi", rolls=False)
    storage_class_name: ObjectName | None = optional(
        "StorageClass; omitted: the cluster's default. Cannot be changed later.", "fast", rolls=False
    )
    access_mode: Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"] | None = optional(
        "Access mode (default ReadWriteOnce). More than one replica needs ReadWriteMany. Cannot be changed later.",
        "ReadWriteMany",
        rolls=False,
    )
    retain: bool | None = optional(
        "Whether the claim stays when the service is deleted (default: yes).", True, rolls=False
    )


class Cache(ApiModel):
    """Where downloaded weights and compiled kernels are kept. Omitted: in the pod, and lost with it."""

    model_config = with_rules(
        rule("has(self.claim) != has(self.existingClaim)", "cache needs either claim or existingClaim, and not both")
    )

    claim: Claim | None = optional(
        "A claim that the operator makes, named after the service with the suffix -cache.",
        {"storage": "200Gi", "accessMode": "ReadWriteMany"},
    )
    existing_claim: ObjectName | None = optional("A claim that exists in this namespace.", "shared-cache")


# What the clients of S3 read: boto3, for the small files, and https://github.com/run-ai/runai-model-streamer.
STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
STORE_VARIABLES = (
    *STORE_KEYS, "AWS_ENDPOINT_URL", "RUNAI_STREAMER_S3_ENDPOINT", "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING",
    "AWS_EC2_METADATA_DISABLED", "AWS_REGION", "AWS_DEFAULT_REGION",
)  # fmt: skip


class ObjectStore(ApiModel):
    """How a bucket is reached; omitted: the service account's rights, at the cloud's own address."""

    model_config = with_rules(
        rule(
            "has(self.endpoint) || has(self.region) || has(self.credentialsSecretName)",
            "objectStore is empty: set endpoint, region or credentialsSecretName, or leave it out",
        )
    )

    endpoint: (
        Annotated[
            str,
            Limits(max_length=253),
            Form(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?", "must be an address like https://minio.storage.svc:9000"),
        ]
        | None
    ) = optional(
        "Address of a store with the API of S3; buckets are named in the path. Omitted: AWS.",
        "https://minio.storage.svc:9000",
    )
    region: (
        Annotated[str, Limits(max_length=64), Form(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "must be a region like us-east-1")]
        | None
    ) = optional("Region of the bucket.", "us-east-1")
    credentials_secret_name: ObjectName | None = optional(
        "Secret in this namespace with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, "
        "where there is one). Omitted: the rights of pod.serviceAccountName.",
        "s3-keys",
    )


# Of the whole spec.
STORE_RULE = rule(
    f"!has(self.model.objectStore) || !has(self.env) || !self.env.exists(e, e.name in {list(STORE_VARIABLES)!r})",
    "model.objectStore sets the AWS_ variables of the pod: leave them out of env",
)
