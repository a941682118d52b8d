"""What the services of a namespace ask for of a class's GPUs. Who gets them, assess/limits.py decides."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ..api import KIND
from ..api.resource import Key
from ..api.serving_class import ServingClass
from ..api.spec import InferenceServiceSpec
from ..assess.admission import admit_to
from ..assess.classes import ClassRefusedError, class_of
from ..assess.limits import Claimant, most_gpus
from ..assess.resolution import Resolved
from ..settings import Settings
from ..snapshots.child import deployment_of, kept_deployed
from ..snapshots.own import ObjectSnapshot
from ..watch.sources import Indices
from .agreement import choice_of, with_sizes
from .view import View


class ServiceClaimants:
    """Remembers what services ask for: of one namespace, each asks of all."""

    def __init__(self, indices: Indices, settings: Settings) -> None:
        self._view, self._settings = View(indices), settings
        self._asked: dict[Key, tuple[object, int | None]] = {}

    def __call__(self, namespace: str, own: ServingClass) -> Iterator[Claimant]:
        """Those of a class in a namespace."""
        known = self._view.known()
        for key in self._asked.keys() - set(known):
            del self._asked[key]
        others = self._view.classes(namespace).by_name.keys() - {own.name}
        for key in known:
            snapshot = self._view.service(key) if key.namespace == namespace else None
            if snapshot is not None:
                yield from self._claimant(key, snapshot, own, others)
        for key, gpus in self._view.left(namespace, own.name).items():
            yield Claimant(("Pod", key), "", True, 0, 0, gpus)

    def _claimant(
        self, key: Key, snapshot: ObjectSnapshot, own: ServingClass, others: Collection[str]
    ) -> Iterator[Claimant]:
        """A service of the class; or one that has left it, or cannot be read, with what runs of this class."""
        asked = self._asks(key, snapshot, own)
        if asked is None and not self._view.has_of_class(key, own.name):
            return

        def counts(name: str) -> bool:
            return name == own.name if asked is None else name not in others

        stay = [pod for pod in self._view.pods(key) if not pod.failed and counts(pod.serving_class)]
        leave = [pod for pod in self._view.ending(key) if counts(pod.serving_class)]
        held, ending = (sum(pod.asked.count for pod in some) for some in (stay, leave))
        deployed = deployment_of(self._view.children(key), key.name, snapshot.uid)
        stays = deployed.most_gpus if deployed and counts(deployed.serving_class) else 0
        if asked is None:
            stays = max(stays, held)
        yield Claimant((KIND, key), snapshot.created, bool(stay), held, asked or 0, ending, stays)

    def _asks(self, key: Key, snapshot: ObjectSnapshot, own: ServingClass) -> int | None:
        """The most GPUs that a service may come to have; 0 where it is refused anyway, None without this class."""
        size = self._deployed_size(key, snapshot.uid)
        made_of = (snapshot.uid, snapshot.generation, own, size)
        if key not in self._asked or self._asked[key][0] != made_of:
            self._asked[key] = (made_of, self._worked_out(key, snapshot.spec, own, size))
        return self._asked[key][1]

    def _deployed_size(self, key: Key, uid: str) -> Sequence[Resolved]:
        """What the plan chose for the pods that a service has."""
        kept = kept_deployed(self._view.children(key), key.name, uid)
        return choice_of(kept.packed) if kept else ()

    def _worked_out(
        self, key: Key, given: Mapping[str, Any], own: ServingClass, size: Sequence[Resolved]
    ) -> int | None:
        try:
            spec = with_sizes(InferenceServiceSpec.model_validate(given), size)
        except ValidationError:
            return None
        try:
            if class_of(spec, self._view.classes(key.namespace)) != own:
                return None
        except ClassRefusedError:
            return None
        result = admit_to(spec, own, self._settings)
        return 0 if result.refusal else most_gpus(result.spec)
