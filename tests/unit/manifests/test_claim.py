"""The claim of the cache, and who else may take it for an object of theirs."""

from typing import Any

import pytest

from vllm_operator.api.resource import InferenceService
from vllm_operator.api.spec import InferenceServiceSpec
from vllm_operator.manifests.claim import cache_claim
from vllm_operator.manifests.names import INSTANCE_LABEL


def claim(**more: Any) -> dict[str, Any]:
    """The metadata of the claim of a service."""
    spec = {"model": {"uri": "hf://a/b"}, "cache": {"claim": {"storage": "1Gi", **more}}}
    made = cache_claim(InferenceService("team-a", "llama", "uid", 1, InferenceServiceSpec.model_validate(spec)))
    assert made
    return dict(made["metadata"])


@pytest.mark.parametrize("more", [{}, {"retain": True}], ids=["left out", "retained"])
def test_argo_cd_neither_deletes_nor_misses_in_git_what_outlives_the_service(more: dict[str, Any]) -> None:
    """It has the label by which Argo CD may track its own objects, and no owner."""
    meta = claim(**more)
    assert meta["labels"][INSTANCE_LABEL] == "llama"
    assert "ownerReferences" not in meta
    assert meta["annotations"]["argocd.argoproj.io/sync-options"].split(",") == ["Prune=false", "Delete=false"]
    assert meta["annotations"]["argocd.argoproj.io/compare-options"] == "IgnoreExtraneous"


def test_what_goes_with_the_service_needs_no_word_to_argo_cd() -> None:
    assert claim(retain=False)["ownerReferences"]
    assert "annotations" not in claim(retain=False)
