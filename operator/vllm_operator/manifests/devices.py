"""Devices by claims (DRA): what a pod's template claims, and the ResourceClaimTemplate that it is made of.

The spec of a ResourceClaimTemplate cannot be changed, and a pod that is made again needs the one that its template
names. So a request has a name of its own, and stands in the pod template, which is kept: what is made follows from it.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..api import GROUP
from ..api.limits import REQUEST_BYTES, parsed
from ..api.resource import InferenceService
from ..api.spec import InferenceServiceSpec
from ..vllm.argv import ranks
from .metadata import Manifest, metadata

REQUEST_ANNOTATION = f"{GROUP}/device-request"
CLAIM = "gpus"
_KEYS = {"deviceClassName", "count", "selector"}


def device_request(spec: InferenceServiceSpec) -> str:
    """What each pod claims, as it stands in the template: JSON, always the same for the same; empty: nothing."""
    own = spec.accelerator
    if not own.device_class:
        return ""
    selector = {"selector": own.device_selector} if own.device_selector else {}
    return json.dumps({"deviceClassName": own.device_class, "count": ranks(spec), **selector}, sort_keys=True)


def pod_claims(service: InferenceService) -> list[Manifest] | None:
    """The pod's `resourceClaims`; None where it claims nothing."""
    request = device_request(service.spec)
    return [{"name": CLAIM, "resourceClaimTemplateName": _name(service, _hash(request))}] if request else None


def claim_template(service: InferenceService, template: Mapping[str, Any]) -> Manifest | None:
    """The ResourceClaimTemplate that pods of a template name; None where they claim nothing."""
    said = request_in(template)
    if said is None:
        return None
    selectors = [{"cel": {"expression": said["selector"]}}] if "selector" in said else None
    exactly = {
        "deviceClassName": said["deviceClassName"],
        "allocationMode": "ExactCount",
        "count": said["count"],
        **({"selectors": selectors} if selectors else {}),
    }
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": metadata(service, _name(service, _hash(_text(template)))),
        "spec": {"spec": {"devices": {"requests": [{"name": CLAIM, "exactly": exactly}]}}},
    }


def request_in(template: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request that a template carries; None: none. Raises ValueError for what the operator writes nowhere."""
    text = _text(template)
    if not text:
        return None
    said = parsed(text, REQUEST_ANNOTATION, REQUEST_BYTES)
    if not isinstance(said, dict) or not {"deviceClassName", "count"} <= set(said) <= _KEYS:
        raise ValueError(f"{REQUEST_ANNOTATION} is no request of devices")
    return said


def _text(template: Mapping[str, Any]) -> str:
    return str(((template.get("metadata") or {}).get("annotations") or {}).get(REQUEST_ANNOTATION, ""))


def _name(service: InferenceService, of: str) -> str:
    return f"{service.name}-{CLAIM}-{of}"


def _hash(request: str) -> str:
    return hashlib.sha256(request.encode()).hexdigest()[:8]
