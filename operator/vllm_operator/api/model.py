"""Which model is served, and what goes with it: adapters, a chat template."""

from typing import Annotated, Literal

from .base import ApiModel, Form, KeyRef, Limits, optional, required, rule, with_rules
from .fields import Flag
from .loading import LOAD_FORMAT_RULES, LOADER_RULES, LoaderOptions, LoadFormatName
from .storage import MODEL_URI_RULES, URI_RULES, ObjectStore, Uri
from .templates import TemplateName
from .vocabulary import LoraRank

Revision = Annotated[
    str,
    Limits(max_length=128),
    Form(r"[A-Za-z0-9][A-Za-z0-9._/-]*", "must be a commit, tag or branch: letters, digits, ., _, / and -"),
]
ImagePath = Annotated[
    str,
    Limits(max_length=256),
    Form(
        r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*",
        "must be a path within the image like models/llama, without a slash at its ends",
    ),
]
ModelName = Annotated[
    str,
    Limits(max_length=128),
    Form(r"[A-Za-z0-9][A-Za-z0-9._:/-]*", "must be a name like llama-70b: letters, digits, ., _, :, / and -"),
]


ClassifierName = Annotated[
    str,
    Limits(max_length=128),
    Form(
        r"[A-Z][A-Za-z0-9]*ForSequenceClassification",
        "must be a model of vLLM's that scores, like Qwen3ForSequenceClassification",
    ),
]


class Tokenizer(ApiModel):
    """A tokenizer other than the model's own."""

    model_config = with_rules(
        rule(
            "!has(self.revision) || !self.uri.startsWith('pvc://')",
            "tokenizer.revision is for hf:// only: a claim has no revisions",
        )
    )

    uri: Uri = required(
        "Where the tokenizer is: hf://organisation/name or pvc://claim/path.",
        "hf://meta-llama/Llama-3.1-8B-Instruct",
        flag=Flag("tokenizer", "location"),
        rules=URI_RULES,
    )
    revision: Revision | None = optional(
        "Commit, tag or branch of the tokenizer's repository.",
        "5206a32e0bd3067aef1ce90f5528ade7d866253f",
        flag="tokenizer-revision",
    )


class Classifier(ApiModel):
    """What the config.json of a model leaves out that is to score: the keys that published rerankers need."""

    architectures: list[ClassifierName] = required(
        "The model that scores, by vLLM's name.",
        ["Qwen3ForSequenceClassification"],
        min_length=1,
        max_length=1,
        list_type="atomic",
    )
    classifier_from_token: list[Annotated[str, Limits(min_length=1, max_length=64)]] | None = optional(
        "Words whose probability is the score, instead of a classifier's weights.",
        ["no", "yes"],
        max_length=64,
        list_type="atomic",
    )
    is_original_qwen3_reranker: bool | None = optional(
        "Whether the checkpoint is a Qwen3 reranker as it was published.", True
    )
    method: Literal["from_2_way_softmax", "no_post_processing"] | None = optional(
        "How the score is made of the words.", "from_2_way_softmax"
    )


class Model(ApiModel):
    """Which model is served, and under which names."""

    model_config = with_rules(
        rule(
            "!has(self.revision) || self.uri.startsWith('hf://')",
            "model.revision is for hf:// only: a claim, a bucket and an image have no revisions",
        ),
        rule(
            "!has(self.imagePath) || self.uri.startsWith('oci://')",
            "model.imagePath is for oci:// only: elsewhere the folder is a part of model.uri",
        ),
        rule(
            "!has(self.objectStore) || self.uri.startsWith('s3://')",
            "model.objectStore is for s3:// only: a gs:// bucket is read with the rights of pod.serviceAccountName",
        ),
        *LOADER_RULES,
    )

    uri: Uri = required(
        "Where the model is: hf://organisation/name; pvc://claim/path in this namespace; s3://bucket/path or "
        "gs://bucket/path, which vLLM streams; or oci://registry/repository:tag, an image that holds the model.",
        "hf://Qwen/Qwen3-8B-AWQ",
        flag=Flag("model", "otherwise"),
        rules=MODEL_URI_RULES,
    )
    revision: Revision | None = optional(
        "Commit of the model's repository; pin it, so that every replica serves the same weights.",
        "9216db5781bf21249d130ec9da846c4624c16137",
        flag="revision",
    )
    image_path: ImagePath | None = optional(
        "Folder of the model within the image of oci://; omitted: its top.", "models/llama"
    )
    object_store: ObjectStore | None = optional(
        "How the bucket of s3:// is reached.", {"endpoint": "https://minio.storage.svc:9000"}
    )
    format: Literal["hf", "mistral"] | None = optional(
        "Whose format of config, weights and tokenizer is read, where a repository has both: transformers' (hf), or "
        "Mistral's own (params.json, consolidated*.safetensors, tekken.json). Omitted: vLLM looks.",
        "mistral",
        flag=Flag("config-format", shared=True),
    )
    load_format: LoadFormatName | None = optional(
        "How vLLM loads the weights, from those of its load formats that run no code (docs/weights.md). Omitted: auto.",
        "fastsafetensors",
        flag=Flag("load-format", shared=True),
        rules=LOAD_FORMAT_RULES,
    )
    loader_options: LoaderOptions | None = optional(
        "How the load format reads.", {"concurrency": 16}, flag=Flag("model-loader-extra-config", "loader")
    )
    served_model_names: list[ModelName] | None = optional(
        "Names that clients may use as `model`; default: the name of the service. The first one labels the metrics.",
        ["llama-70b"],
        flag=Flag("served-model-name", "otherwise"),
        min_length=1,
        max_length=32,
        list_type="set",
    )
    token_secret_ref: KeyRef | None = optional(
        "The Hugging Face token, for gated or private models.",
        {"name": "hf-token", "key": "token"},
        flag=Flag("hf-token", "otherwise"),
    )
    tokenizer: Tokenizer | None = optional(
        "A tokenizer other than the model's own.", {"uri": "hf://meta-llama/Llama-3.1-8B-Instruct"}
    )
    classifier: Classifier | None = optional(
        "What config.json leaves out of a model that is to score: for rerankers as they were published. Further keys "
        "belong into the checkpoint's config.json.",
        {"architectures": ["Qwen3ForSequenceClassification"], "classifierFromToken": ["no", "yes"]},
        flag=Flag("hf-overrides", "keys"),
    )
    trust_remote_code: bool | None = optional(
        "Whether Python code from the model's repository may run in the pod. Only for repositories that you trust.",
        False,
        flag="trust-remote-code",
    )


class LoraAdapter(ApiModel):
    """One LoRA adapter; clients choose it by its name as `model`."""

    name: ModelName = required("Name that clients use as `model`.", "sql")
    uri: Uri = required(
        "Where the adapter is: hf://organisation/name or pvc://claim/path.", "pvc://adapters/sql", rules=URI_RULES
    )


class Lora(ApiModel):
    """LoRA adapters that are served beside the model."""

    adapters: list[LoraAdapter] = required(
        "The adapters.",
        [{"name": "sql", "uri": "pvc://adapters/sql"}],
        flag=Flag("lora-modules", "otherwise"),
        min_length=1,
        max_length=32,
        list_type="map",
        list_map_keys=["name"],
    )
    max_rank: LoraRank | None = optional(
        "Largest rank among the adapters (vLLM's default: 16).", 16, flag="max-lora-rank"
    )


class ChatTemplate(ApiModel):
    """A chat template other than the tokenizer's own."""

    model_config = with_rules(
        rule(
            "has(self.configMapKeyRef) != has(self.fromImage)",
            "chatTemplate needs either configMapKeyRef or fromImage, and not both",
        )
    )

    config_map_key_ref: KeyRef | None = optional(
        "The ConfigMap and key that hold the Jinja template.", {"name": "templates", "key": "chat.jinja"}
    )
    from_image: TemplateName | None = optional(
        "A template that vLLM's own images carry in their folder examples, without .jinja. An image of your own must "
        "have it there too: in /vllm-workspace/examples, with amd.com/gpu in /app/vllm/examples.",
        "tool_chat_template_gemma4",
    )


# Of the whole spec.
TOKEN_RULE = rule(
    "!has(self.model.tokenSecretRef) || self.model.uri.startsWith('hf://')"
    " || (has(self.model.tokenizer) && self.model.tokenizer.uri.startsWith('hf://'))"
    " || (has(self.lora) && self.lora.adapters.exists(a, a.uri.startsWith('hf://')))"
    " || (has(self.speculative) && has(self.speculative.model) && self.speculative.model.startsWith('hf://'))",
    "model.tokenSecretRef is for hf:// only: nothing here is downloaded, remove it",
)
