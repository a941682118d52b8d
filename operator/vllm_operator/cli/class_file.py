"""ServingClasses from files, and what a service comes to with its own: for people without a cluster.

Which namespaces may use a class, and what other services of it ask for, only the cluster knows: nothing is said of it.
"""

from collections.abc import Iterable
from pathlib import Path

import yaml

from ..api import CLASS_KIND
from ..api.serving_class import ServingClass, ServingClassSpec
from ..api.spec import InferenceServiceSpec
from ..assess.admission import admit, is_beyond_settings
from ..assess.classes import Classes
from ..assess.resolution import Resolution
from ..manifests.metadata import Manifest
from ..settings import Settings
from .service_file import UnknownObjectError, manifests_in, name_of
from .validation import faults, listed


class ClassInputError(Exception):
    """A class that cannot be read, or that the service may not have. The text is for the user."""


def read_classes(paths: Iterable[Path]) -> Classes:
    """The classes in some files, each of which may have other objects too. Raises ClassInputError."""
    found: dict[str, ServingClass] = {}
    for path in paths:
        try:
            manifests = manifests_in(path, CLASS_KIND)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, UnknownObjectError) as error:
            raise ClassInputError(f"{path}: {' '.join(str(error).split())}") from error
        for manifest in manifests:
            own = _read(path, manifest)
            found[own.name] = own
    return Classes(found)


def _read(path: Path, manifest: Manifest) -> ServingClass:
    name = name_of(manifest)
    if found := faults(manifest, CLASS_KIND):
        raise ClassInputError(f"{path}: {listed(name, found)}")
    spec = ServingClassSpec.model_validate(manifest["spec"])
    return ServingClass(name, "", 1, "", spec.model_copy(update={"namespaces": None}))


def with_class(name: str, spec: InferenceServiceSpec, classes: Classes, settings: Settings) -> Resolution:
    """What the spec of the service `name` comes to. Raises ClassInputError where it may not have its class.

    Where only the operator's settings are in the way, the resolution says so.
    """
    wanted = spec.serving_class_name
    if wanted and wanted not in classes.by_name:
        raise ClassInputError(f"{name} names the ServingClass {wanted}: pass a file that has it with --class")
    result, _ = admit(spec, classes, settings)
    if result.refusal and not is_beyond_settings(result.refusal):
        raise ClassInputError(f"{name}: {result.refusal[1]}")
    return result
