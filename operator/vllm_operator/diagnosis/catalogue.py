"""All texts that the diagnosis knows, in the order in which they are looked for."""

from .device_symptoms import DEVICES, EXCHANGE, MEMORY
from .model_symptoms import ARGUMENTS, MODELS
from .rank_symptoms import ECHOES, RANKS

BETWEEN_RANKS = (*ECHOES, *EXCHANGE)
"""What a rank says as well where another one was killed."""

SYMPTOMS = (*MEMORY, *DEVICES, *RANKS, *MODELS, *ARGUMENTS, *BETWEEN_RANKS)
