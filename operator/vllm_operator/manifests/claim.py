"""The PersistentVolumeClaim for the model cache."""

from ..api.resource import InferenceService
from .metadata import Manifest, compact, metadata

# Argo CD that tracks objects by label takes one that nobody owns for its own where its Application has the name of the
# service: it would delete the claim as one that Git does not have. (gitops-engine, pkg/cache/cluster.go.)
_NOT_FROM_GIT = {
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
}


def cache_claim(service: InferenceService) -> Manifest | None:
    """The claim that we make. Without an owner it outlives the service; a new service of that name finds it again."""
    claim = service.spec.cache and service.spec.cache.claim
    if not claim:
        return None
    owned = claim.retain is False
    meta = metadata(service, service.cache_claim_name, owned=owned)
    return compact(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {**meta, "annotations": None if owned else _NOT_FROM_GIT},
            "spec": {
                "accessModes": [claim.access_mode or "ReadWriteOnce"],
                "storageClassName": claim.storage_class_name,
                "resources": {"requests": {"storage": claim.storage}},
            },
        }
    )
