"""Where models and caches are: the URIs of models, and the cache's claim."""

from typing import Annotated, Literal

from .base import ApiModel, Bytes, Limits, ObjectName, optional, required, rule, with_rules

# hf://organisation/name, pvc://claim or pvc://claim/path/in/the/claim
_HUB = r"hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
_CLAIM = r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9._-]+)*"
_LATER = "(self.startsWith('s3://') || self.startsWith('oci://'))"
_DOTS = "self.matches(r'(^|/)[.][.]?(/|$)')"
URI_RULES = [
    rule(
        f"!{_LATER}",
        "s3:// and oci:// are not supported yet: copy the model into a PersistentVolumeClaim and use pvc://claim/path",
    ),
    rule(f"!{_DOTS}", "must not contain . or .. as a part of the path"),
    rule(
        f"{_LATER} || {_DOTS} || self.matches(r'^({_HUB}|{_CLAIM})$')",
        "must be hf://organisation/name (a commit goes into `revision`) or pvc://claim/path",
    ),
]
Uri = Annotated[str, Limits(max_length=512)]


def _mode(claim: str) -> str:
    return f"(has({claim}.accessMode) ? {claim}.accessMode : 'ReadWriteOnce')"


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
