"""A user's cluster in memory, for the commands that write: what they make is kept, and what they ask is scripted."""

import base64
import zlib
from dataclasses import dataclass, field

from support.kube import Object
from vllm_operator.cli.fleet.client import FleetError, NotThereError, UserClient

Named = tuple[str, str]


def log_of(content: bytes) -> str:
    """What the pod prints of a file."""
    packer = zlib.compressobj(wbits=31)
    return base64.encodebytes(packer.compress(content) + packer.flush()).decode()


@dataclass
class FakeClient(UserClient):
    """Objects by kind and name. `shown`: what each look at a batch finds, the last one for ever."""

    shown: list[Object | FleetError] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)
    refuse: dict[tuple[str, str], FleetError] = field(default_factory=dict)
    objects: dict[Named, Object] = field(default_factory=dict)
    done: list[tuple[str, str]] = field(default_factory=list)
    namespace: str = "team-a"

    async def get(self, kind: str, namespace: str, name: str) -> Object:
        if kind == "Pod":
            states = [{"name": one, "state": {"terminated": {"exitCode": code}}} for one, code in self.exits.items()]
            phase = "Failed" if any(self.exits.values()) else "Succeeded"
            return {"status": {"phase": phase, "containerStatuses": states}} if states else {"status": self._pending()}
        found = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        if isinstance(found, FleetError):
            raise found
        return found

    @staticmethod
    def _pending() -> Object:
        waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
        return {"phase": "Pending", "containerStatuses": [{"name": "answers", "state": {"waiting": waiting}}]}

    async def create(self, kind: str, namespace: str, manifest: Object) -> Object:
        name = manifest["metadata"]["name"]
        self.done.append(("create", kind))
        if error := self.refuse.get(("create", kind)):
            raise error
        assert (kind, name) not in self.objects
        created = {**manifest, "metadata": {**manifest["metadata"], "uid": f"uid-of-{name}", "namespace": namespace}}
        self.objects[kind, name] = created
        return created

    async def adopt(self, kind: str, namespace: str, name: str, owner: Object) -> None:
        self.done.append(("adopt", kind))
        own = {"kind": owner["kind"], "uid": owner["metadata"]["uid"]}
        self.objects[kind, name]["metadata"]["ownerReferences"] = [own]

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        self.done.append(("delete", kind))
        self.objects.pop((kind, name), None)

    async def whole_log(self, namespace: str, pod: str, container: str, most: int) -> str:
        if ("Pod", pod) not in self.objects:
            raise NotThereError(f'pods "{pod}" not found')
        return self.logs[container]
