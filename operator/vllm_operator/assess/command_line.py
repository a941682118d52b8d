"""Whether a kept command line of vLLM is one that the operator could have written. Pure; clauses for people.

vLLM has flags that load code and name files: of a template that anybody may have forged, only those are taken that a
field carries, that extraArgs may pass, or that the operator writes itself, in this version or an earlier one.
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from ..api.flags import EXTRA_CHOICE_FLAGS, EXTRA_SWITCH_FLAGS, EXTRA_VALUE_FLAGS, field_of_flag
from ..api.spec import InferenceServiceSpec
from ..vllm.paths import MIDDLEWARE_PATH
from ..vllm.ranks import REFERENCES

# What argv() writes without a field, or for several.
_OWN = (
    "--api-server-count", "--disable-access-log-for-endpoints", "--distributed-executor-backend", "--host",
    "--load-format", "--master-addr", "--master-port", "--middleware", "--node-rank", "--port", "--shutdown-timeout",
    "--tokenizer-mode",
)  # fmt: skip
_PASSED = frozenset({*_OWN, *field_of_flag(InferenceServiceSpec), *EXTRA_VALUE_FLAGS, *EXTRA_SWITCH_FLAGS})
_WORDS = {
    "--middleware": (f"{PurePosixPath(MIDDLEWARE_PATH).stem}.Middleware",),
    "--distributed-executor-backend": EXTRA_CHOICE_FLAGS["--distributed-executor-backend"],
    **{one.partition("=")[0]: (one.partition("=")[2],) for one in REFERENCES},
    "--load-format": EXTRA_CHOICE_FLAGS["--load-format"],
}


def odd_arguments(arguments: Sequence[str]) -> Iterator[str]:
    """What the operator writes nowhere."""
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if not flag.startswith("-"):
            continue
        if flag not in _PASSED:
            yield f"its command line has {flag}, which the operator passes nowhere"
        elif flag in _WORDS and (not equals or value not in _WORDS[flag]):
            yield f"its command line has another {flag} than the operator's"
