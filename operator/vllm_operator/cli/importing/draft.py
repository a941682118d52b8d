"""A service that is being written: takes what the API takes, and says of everything else why not. Reads no source."""

import copy
import re
from collections.abc import Sequence
from typing import Any

from ...api import API_VERSION, KIND
from ...api.crd import MAX_NAME_LENGTH
from ...api.spec import InferenceServiceSpec
from ...assess.policy import RULES, Question
from ...settings import Settings
from ..validation import faults
from .report import Origin, Report, Went
from .uris import sentence

_ANY_MODEL = {"uri": "hf://organisation/name"}


class Draft:
    """One InferenceService, with the report that its parts are told in."""

    def __init__(self, name: str, namespace: str, report: Report, settings: Settings) -> None:
        self.settings = settings
        self.report = report
        self.name = service_name(name)
        self.namespace = namespace
        report.names.add(namespace)
        self.spec: dict[str, Any] = {}
        self.source_name = name
        """Of the object that it is made of."""
        self.metadata: dict[str, dict[str, str]] = {}
        """Its labels and annotations."""
        self.asked: tuple[str, Origin] | None = None
        """The name that clients ask for the model by, and what says so."""
        self.offline: dict[str, Origin] = {}
        """Variables that have vLLM ask no hub, by name."""
        self.found_again = False
        """Whether the cache has the downloads of the source where pods look for them."""
        self._origins: dict[str, Origin] = {}
        self.service_names: set[str] = set()
        """Services of the source that lead to its pods."""
        self.service_labels: dict[str, str] = {}
        self.others: list[dict[str, Any]] = []
        """Objects that the service needs beside it: claims, and volumes for them."""
        self.commands: list[str] = []
        """What somebody has to run first: Secrets whose values are not ours to print."""

    @property
    def name(self) -> str:
        """Of the service."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name
        self.report.names.add(name)

    @classmethod
    def blank(cls, name: str) -> "Draft":
        """A draft that is thrown away: to find out what a source is."""
        return cls(name, "", Report(), Settings())

    def put(self, path: str, value: Any, origin: Origin, note: str = "") -> bool:
        """Set a field, if the API takes it with what is there already; say so, or why not."""
        tried = copy.deepcopy(self.spec)
        before = _set(tried, path.split("."), value)
        if found := self.secret(value) or self._fault(tried):
            self.say(origin, Went.LEFT, f"{path}: {found}")
            return False
        self.spec = tried
        self._origins[path] = origin
        text = f"{path}: {shown(value)}" + (f" ({note})" if note else "")
        if before is not None and before != value:
            text += f", instead of {shown(before)}"
        self.say(origin, Went.FIELD, text)
        return True

    def take_back(self, path: str, why: str) -> None:
        """Leave a field of the spec out again, for a reason that its row then tells."""
        if path in self.spec:
            self.spec = {key: item for key, item in self.spec.items() if key != path}
            origin = self._origins[path]
            self.report.rows = [row for row in self.report.rows if row.origin != origin]
            self.say(origin, Went.OPERATOR, why)

    def keep_name(self) -> None:
        """Let clients ask for the model by the name that they have, where it is not the one of the service."""
        if self.asked is None or self.asked[0] == self.name or self.get("model.servedModelNames"):
            return
        name, origin = self.asked
        self.report.rows = [row for row in self.report.rows if row.origin != origin]
        if self.fault("model.servedModelNames", [name]):
            other = f"have them ask for {self.name}, or set model.servedModelNames"
            self.say(origin, Went.LEFT, f"clients ask for {name}, which no service can answer to: {other}")
        else:
            self.put("model.servedModelNames", [name], origin)

    def go_online(self) -> None:
        """Let pods ask the hub for what they have to download, whatever the source said: they would not start."""
        if self.found_again or "hf://" not in str(self.spec):
            return
        for name, origin in self.offline.items():
            left = [one for one in self.spec["env"] if one["name"] != name]
            rest = {key: item for key, item in self.spec.items() if key != "env"}
            self.spec = {**rest, "env": left} if left else rest
            self.report.rows = [row for row in self.report.rows if row.origin != origin]
            text = "pods have to download from the hub once: set it in env when the cache has it all"
            self.say(origin, Went.LEFT, text)

    def put_if_allowed(self, path: str, value: Any, origin: Origin) -> None:
        """Set a field that the service serves without as well: left out where the platform's settings refuse it."""
        before = copy.deepcopy(self.spec)
        refused = set(self.refusals())
        if not self.put(path, value, origin):
            return
        if said := next((one for one in self.refusals() if one not in refused), None):
            self.spec = before
            self.report.rows.pop()
            self.say(origin, Went.SETTINGS, f"{path}: {said}; left out here")

    def refusals(self) -> list[str]:
        """What the platform's settings refuse of the service, in one sentence each."""
        spec = InferenceServiceSpec.model_validate(self.manifest()["spec"])
        found = [(rule, rule.refuses(Question(spec, self.settings, {}))) for rule in RULES]
        return [
            f"{refused.what} is not allowed by the operator's setting {rule.setting}: {refused.instead}, or ask the "
            "platform team"
            for rule, refused in found
            if refused
        ]

    def pass_on(self, item: str, spellings: Sequence[str], origin: Origin | None = None) -> bool:
        """Add an item to extraArgs, in the place of another spelling of the flag; say so where it has an origin."""
        items = [one for one in self.get("extraArgs") or [] if one.split("=", 1)[0] not in spellings]
        tried = {**self.spec, "extraArgs": [*items, item]}
        found = self.secret(item) or self._fault(tried)
        if not found:
            self.spec = tried
        if origin:
            went = Went.LEFT if found else Went.FIELD
            self.say(origin, went, f"extraArgs: {found}" if found else f"extraArgs: {shown(item)}")
        return not found

    def fault(self, path: str, value: Any) -> str:
        """Why the API does not take a value, with what is there already; empty where it does."""
        tried = copy.deepcopy(self.spec)
        _set(tried, path.split("."), value)
        return self._fault(tried)

    def secret(self, value: Any) -> str:
        """Why a value is not written into the manifest; empty for one that holds no credential of the source."""
        return "" if self.report.hidden(value) == value else "holds a credential, which no manifest is to have"

    def _fault(self, spec: dict[str, Any]) -> str:
        found = faults(self.manifest(spec), KIND)
        return sentence(found[0]) if found else ""

    def get(self, path: str) -> Any:
        """The value of a field; None where it is not set."""
        node: Any = self.spec
        for step in path.split("."):
            node = node.get(step) if isinstance(node, dict) else None
        return node

    def say(self, origin: Origin, went: Went, text: str) -> None:
        """Tell where a part went."""
        self.report.add(origin, went, text)

    def manifest(self, spec: dict[str, Any] | None = None) -> dict[str, Any]:
        """The service as it would be applied; a model stands in where none is known yet."""
        spec = self.spec if spec is None else spec
        if not (spec.get("model") or {}).get("uri"):
            spec = {**spec, "model": {**_ANY_MODEL, **(spec.get("model") or {})}}
        metadata = {"name": self.name, **({"namespace": self.namespace} if self.namespace else {}), **self.metadata}
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def _set(node: dict[str, Any], steps: list[str], value: Any) -> Any:
    """Set a value at a path; what was there before."""
    for step in steps[:-1]:
        node = node.setdefault(step, {})
    before = node.get(steps[-1])
    node[steps[-1]] = value
    return before


def shown(value: Any) -> str:
    """A value in one line, shortened."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, list):
        text = "[" + ", ".join(map(shown, value)) + "]"
    else:
        text = " ".join(str(value).split())
    return text if len(text) <= 160 else f"{text[:157]}..."


def service_name(name: str) -> str:
    """A name that a service may have, made of another one."""
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    name = name if name[:1].isalpha() else f"vllm-{name}".rstrip("-")
    return "vllm" if name == "kubernetes" else name[:MAX_NAME_LENGTH].rstrip("-")
