"""Whether a service may have what its ServingClass and its spec come to. Pure; sentences for people."""

from collections.abc import Iterator
from dataclasses import replace

from ..api.reasons import Finding, Reason
from ..api.serving_class import ServingClass, ServingClassSpec
from ..api.spec import InferenceServiceSpec
from ..settings import Settings
from .classes import ASK, Classes, ClassRefusedError, class_of
from .limits import exceeded
from .resolution import OPERATOR, Claim, Resolution, resolve


def admit(spec: InferenceServiceSpec, classes: Classes, settings: Settings) -> tuple[Resolution, ServingClass | None]:
    """What a spec comes to with its class, and the class. The resolution says what it is refused for."""
    try:
        own = class_of(spec, classes)
    except ClassRefusedError as error:
        return admit_to(spec, None, settings, refusal=error.refusal), None
    return admit_to(spec, own, settings), own


def admit_to(
    spec: InferenceServiceSpec,
    own: ServingClass | None,
    settings: Settings,
    claim: Claim | None = None,
    refusal: Finding | None = None,
) -> Resolution:
    """What a spec comes to with the class `own`; with None it has no class, or a `refusal` of the one that it names."""
    result = resolve(spec, own, settings, claim)
    if own is None or result.refusal:
        return replace(result, refusal=refusal or result.refusal)
    sources = {one.field: one.source for one in result.resolved}
    return replace(result, refusal=_image(own, result, settings) or exceeded(own, result.spec, sources))


def _image(own: ServingClass, result: Resolution, settings: Settings) -> Finding | None:
    """A class narrows what the settings allow; it cannot widen it."""
    given = next((str(one.value) for one in result.resolved if one.field == "image" and one.source != OPERATOR), None)
    if given is None or settings.allows_image(given):
        return None
    message = f"ServingClass {own.name} has the image {given}, which the operator's settings do not allow"
    return Reason.IMAGE_NOT_ALLOWED, f"{message}: name another class, {ASK}"


def faults(spec: ServingClassSpec, settings: Settings) -> Iterator[Finding]:
    """What is wrong with a class in itself, so that services could not have what it gives them."""
    images = spec.images.given().values() if spec.images else ()
    for image in images:
        if not settings.allows_image(image):
            yield (
                Reason.IMAGE_NOT_ALLOWED,
                f"images has {image}, which the operator's settings do not allow: add it to settings.allowedImages",
            )
