"""All texts that the diagnosis knows, in the order in which they are looked for."""

from .device_symptoms import DEVICES, EXCHANGE, MEMORY
from .model_symptoms import ARGUMENTS, MODELS
from .rank_symptoms import ECHOES, RANKS

SYMPTOMS = (*MEMORY, *DEVICES, *RANKS, *MODELS, *ARGUMENTS, *ECHOES, *EXCHANGE)
