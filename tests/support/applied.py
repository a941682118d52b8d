"""What `kubectl apply` and Argo CD's sync keep of an object in an annotation of it, unless they apply server-side."""

import json
from typing import Any

_KEPT_IN = "kubectl.kubernetes.io/last-applied-configuration"
MOST = 250_000
"""Bytes of annotations that our CRDs may come to: the API server takes 256 KiB, and users have some of their own."""


def annotations_size(manifest: dict[str, Any]) -> int:
    """Bytes of an object's annotations after `kubectl apply`, as the API server counts them: keys and values.

    The object is kept whole, as Go writes JSON, with its annotations and a newline. Source: kubectl's
    pkg/util/apply.go, and ValidateAnnotationsSize in apimachinery's pkg/api/validation/objectmeta.go.
    """
    own = manifest["metadata"].get("annotations", {})
    whole = {**manifest, "metadata": {**manifest["metadata"], "annotations": own}}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return len(_KEPT_IN) + len(text.encode()) + sum(len(f"{key}{value}".encode()) for key, value in own.items())
