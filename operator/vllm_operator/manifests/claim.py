"""The PersistentVolumeClaim for the model cache."""

from ..api.resource import InferenceService
from .metadata import Manifest, compact, metadata


def cache_claim(service: InferenceService) -> Manifest | None:
    """The claim that we make. Without an owner it outlives the service; a new service of that name finds it again."""
    claim = service.spec.cache and service.spec.cache.claim
    if not claim:
        return None
    return compact(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata(service, service.cache_claim_name, owned=claim.retain is False),
            "spec": {
                "accessModes": [claim.access_mode or "ReadWriteOnce"],
                "storageClassName": claim.storage_class_name,
                "resources": {"requests": {"storage": claim.storage}},
            },
        }
    )
