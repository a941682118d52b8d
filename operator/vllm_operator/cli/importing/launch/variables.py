"""The variables of a container, and what `$(NAME)` and `${NAME:-default}` stand for. Reads no environment of ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..report import Origin

_KUBERNETES = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_SHELL = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?[-=]([^}]*))?\}|([A-Za-z_]\w*))")
_ONLY = re.compile(r"\$(?:\(([A-Za-z_][\w.-]*)\)|\{([A-Za-z_]\w*)(?::?[-=?][^}]*)?\}|([A-Za-z_]\w*))")
_SECRET_NAME = re.compile(r"secret|passw|api[-_]?key|access[-_]?key|credential|authorization", re.IGNORECASE)
# Neither tokenizers nor limits of tokens: MODEL_TOKENIZER, TOKENS_PER_STEP.
_TOKEN_NAME = re.compile(r"token(?!i[sz]|s[-_])", re.IGNORECASE)
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
MOST_TEXT = 1 << 18
MODELSCOPE = "VLLM_USE_MODELSCOPE"


def is_secret(name: str, value: str | None = None) -> bool:
    """Whether a variable or key with this name holds a credential; of tokens, a number is how many there are."""
    token = _TOKEN_NAME.search(name) and not (value or "").isdecimal()
    return bool(token or _SECRET_NAME.search(name))


def is_reference(text: str) -> bool:
    """Whether a text only names a variable."""
    return bool(_ONLY.fullmatch(text))


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the container: a literal value, or where Kubernetes takes it from."""

    name: str
    origin: Origin
    value: str | None = None
    source: str = ""
    """secretKeyRef, configMapKeyRef, fieldRef or resourceFieldRef; empty with a literal value."""
    ref: Mapping[str, object] = field(default_factory=dict)
    """As Kubernetes has it: name and key, or fieldPath."""


@dataclass
class Variables:
    """All variables of a container, and which of them its command line used."""

    by_name: dict[str, Variable] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    given: dict[str, str] = field(default_factory=dict)
    """Those that a controller gives its pods, and that no source names."""
    secrets: set[str] = field(default_factory=set)
    """The values of those that hold a credential, by their names."""

    def add(self, variable: Variable) -> None:
        """Take a variable up; a later one of the same name counts."""
        self.by_name[variable.name] = variable
        value = variable.value
        if value and is_secret(variable.name, value) and not is_reference(value):
            self.secrets.add(value)

    def literal(self, name: str) -> str | None:
        """The value of a variable, where it is known."""
        found = self.by_name.get(name)
        return found.value if found else self.given.get(name)

    @property
    def of_modelscope(self) -> bool:
        """Whether names of models are ModelScope's, and not the hub's (vllm/envs.py of vLLM 0.32)."""
        return (self.literal(MODELSCOPE) or "").strip().lower() in ("1", "true")

    def kubernetes(self, text: str) -> str:
        """A text as the kubelet passes it on: $(NAME) is replaced where the value is known, $$ stands for $."""

        def value(match: re.Match[str]) -> str:
            if match[1] is None:
                return "$"
            return self._used(match[1], match[0])

        return _KUBERNETES.sub(value, text)[:MOST_TEXT]

    def shell(self, text: str) -> str:
        """A text as a shell expands it; a variable that is not known stays as it is."""

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[3]
            default = match[2] if match[2] is not None and name not in self.by_name else match[0]
            return self._used(name, default)

        return _SHELL.sub(value, text)[:MOST_TEXT]

    def _used(self, name: str, otherwise: str) -> str:
        known = self.literal(name)
        if known is None:
            return otherwise
        self.used.add(name)
        return known

    def named_by(self, text: str) -> Variable | None:
        """The variable that a text consists of, where its value is not known: a reference to a Secret, for example."""
        match = _ONLY.fullmatch(text)
        return self.by_name.get(next(filter(None, match.groups()))) if match else None
