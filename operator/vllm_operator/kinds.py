"""The kinds of ours: a folder each, and a row here."""

from .services.kind import INFERENCE_SERVICE

KINDS = (INFERENCE_SERVICE,)
