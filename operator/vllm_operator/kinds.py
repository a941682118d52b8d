"""The kinds of ours: a folder each, and a row here."""

from .batches.kind import INFERENCE_BATCH
from .classes.kind import SERVING_CLASS
from .services.kind import INFERENCE_SERVICE

KINDS = (INFERENCE_SERVICE, SERVING_CLASS, INFERENCE_BATCH)
