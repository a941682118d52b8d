"""All texts that the diagnosis knows, in the order in which they are looked for."""

from .device_symptoms import DEVICES, MEMORY
from .model_symptoms import ARGUMENTS, MODELS

SYMPTOMS = (*MEMORY, *DEVICES, *MODELS, *ARGUMENTS)
