"""Whether a service may have what its ServingClass and its spec come to. Pure; sentences for people."""

from dataclasses import replace

from ..api.accelerator import Accelerator
from ..api.reasons import Finding, Reason
from ..api.serving_class import ServingClass
from ..api.spec import InferenceServiceSpec
from ..settings import Settings
from .classes import ASK, Classes, ClassRefusedError, class_of
from .limits import exceeded
from .policy import Question, first_refused
from .resolution import Claim, Resolution, resolve


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
    refusal = exceeded(own, result.spec, sources)
    if not refusal and (beyond := _beyond_settings(spec, result.spec, settings)):
        message = f"ServingClass {own.name} {beyond}: name another class, {ASK}"
        refusal = (Reason.CLASS_BEYOND_SETTINGS, message)
    return replace(result, refusal=refusal)


def _beyond_settings(written: InferenceServiceSpec, result: InferenceServiceSpec, settings: Settings) -> str:
    """What the class gives and the settings do not allow: a class narrows what may be had, and never widens it."""
    found = first_refused(Question(result, settings, {}))
    if found is None or first_refused(Question(written, settings, {})):  # which is the user's own, and told elsewhere
        return ""
    rule, refused = found
    return f"gives {refused.what}, which the operator's setting {rule.setting} does not allow"


def is_beyond_settings(refusal: Finding) -> bool:
    """Whether a service is refused for nothing but the operator's settings."""
    return refusal[0] is Reason.CLASS_BEYOND_SETTINGS


# Stands for any service of a class.
_ANY = InferenceServiceSpec.model_validate({"model": {"uri": "hf://any/model"}})


def fault(own: ServingClass, settings: Settings) -> Finding | None:
    """What is wrong with a class in itself, so that services could not have what it gives."""
    # The model is the service's own: nothing is said of it here.
    settings = settings.model_copy(update={"allowed_hub_organisations": ("**",)})
    names = [own.spec.accelerator.resource] if own.spec.accelerator else ["nvidia.com/gpu", "amd.com/gpu", "cpu"]
    for name in names:
        written = _ANY.model_copy(update={"accelerator": Accelerator(resource=name)})
        given = resolve(written, own, settings)
        if own.spec.accelerator and given.refusal:
            return given.refusal
        if beyond := _beyond_settings(written, given.spec, settings):
            return Reason.CLASS_BEYOND_SETTINGS, f"it {beyond}: change it, or the setting"
    return None
