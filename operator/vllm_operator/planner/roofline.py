"""How long a step of an engine takes. Pure; what is told of it is for `speed.py` to decide.

A roofline: each part takes what its bytes take at the GPU's bandwidth, or its operations at its rate of products,
whichever is longer; besides, layers, steps and requests have a time of their own. Which part of the rates engines get,
and these times, are factors: `python -m bench.speed` makes them from the measured engines of tests/planner.
"""

from dataclasses import dataclass

from .effective import EngineSettings
from .rates import Rates
from .work import Work


@dataclass(frozen=True, slots=True)
class Factors:
    """What engines get of a GPU's rates, as parts of them, and times in seconds."""

    memory: float
    """Of the bandwidth, for matrices."""
    packed: float
    """The same for matrices of fewer than 8 bits a weight."""
    experts: float
    """The same for experts' matrices."""
    cache: float
    """The same for the KV cache."""
    wide: float
    """Of products in 16 bits."""
    narrow: float
    """Of products in 8 bits."""
    routed: float
    """Of products of experts."""
    attention: float
    """Of products of a prompt's attention."""
    passes: float
    """How often a prompt's activations go through the memory in each layer."""
    layer: float
    """Of each layer in a step that decodes."""
    routing: float
    """Of each layer with experts, besides."""
    reduce: float
    """Of each sum over GPUs, besides its bytes."""
    step: float
    """Of a step: scheduling, sampling, passing on."""
    request: float
    """Of each request in a step."""
    launch: float
    """Of each layer in a step with a prompt, which no CUDA graph holds: it takes at least so long."""
    launch_routing: float
    """The same of each layer with experts, besides."""
    launch_latent: float
    """The same of each layer with latent attention, besides."""
    start: float
    """Of a prompt's first token, besides its step."""


FACTORS = Factors(
    memory=0.92, packed=0.44, experts=0.9, cache=0.92, wide=0.82, narrow=0.92, routed=0.56, attention=0.29, passes=61,
    layer=5.4e-05, routing=2.6e-06, reduce=0.0, step=0.00024, request=9.1e-06, launch=0.00051, launch_routing=0.0012,
    launch_latent=0.0012, start=0.0098,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine: its work, the GPUs that do it, and how they share it."""

    work: Work
    rates: Rates
    settings: EngineSettings
    graph_tokens: int
    """Of the largest step that a CUDA graph holds; 0: none does."""
    factors: Factors = FACTORS

    def step_seconds(self, requests: float, context: float) -> float:
        """Of a step in which so many requests decode one token each, at this context."""
        work, by = self.work, self.factors
        matrices = max(self._matrices(), self._products(requests, sampled=requests))
        gpu = matrices + self._experts(requests) + self._past(requests, context) + self._sums(requests)
        gpu += work.layers * by.layer + work.expert_layers * by.routing
        return (gpu if requests <= self.graph_tokens else max(gpu, self._launched())) + by.step + requests * by.request

    def prefill_seconds(self, prompts: int, length: int) -> float:
        """Of prompts of so many tokens, in steps of the engine's batch size."""
        batch = min(self.settings.max_num_batched_tokens, prompts * length)
        return prompts * length / batch * self._prompt_step(batch, length) + self.factors.start

    def _prompt_step(self, tokens: float, length: float) -> float:
        work, rates, by = self.work, self.rates, self.factors
        products = self._products(tokens, sampled=max(1.0, tokens / length))
        attention = sum(one.layers * one.prefilling * self._seen(one.window, length) for one in work.kept)
        passed = by.passes * work.layers * work.hidden_bytes / rates.bandwidth
        gpu = (
            max(self._matrices(), products)
            + self._experts(tokens)
            + tokens * attention / (by.attention * rates.wide)
            + tokens * passed
            + self._sums(tokens)
        )
        return max(gpu, self._launched()) + by.step

    def _launched(self) -> float:
        """Seconds in which the host starts all kernels of a step one by one."""
        work, by = self.work, self.factors
        routing, latent = work.expert_layers * by.launch_routing, work.latent_layers * by.launch_latent
        return work.layers * by.launch + routing + latent

    @staticmethod
    def _seen(window: int, length: float) -> float:
        """Tokens of the past that one of a prompt's tokens is multiplied with, on average."""
        return length / 2 if not window or length <= window else window * (1 - window / (2 * length))

    def _matrices(self) -> float:
        work, by = self.work, self.factors
        return (work.matrix_bytes / by.memory + work.packed_bytes / by.packed) / self.rates.bandwidth

    def _products(self, tokens: float, sampled: float) -> float:
        work, rates, by = self.work, self.rates, self.factors
        wide = (tokens * work.wide + sampled * work.head) / (by.wide * rates.wide)
        return wide + tokens * work.narrow / (by.narrow * rates.narrow)

    def _experts(self, tokens: float) -> float:
        rates, by = self.rates, self.factors
        return sum(
            max(
                one.read(tokens) / (by.experts * rates.bandwidth),
                one.computed(tokens) / (by.routed * (rates.narrow if one.narrow else rates.wide)),
            )
            for one in self.work.routed
        )

    def _past(self, requests: float, context: float) -> float:
        rates, by = self.rates, self.factors
        read = requests * 2 * self.work.state_bytes / (by.memory * rates.bandwidth)
        for one in self.work.kept:
            tokens = requests * one.layers * one.tokens(context)
            read += max(
                tokens * one.token_bytes / (by.cache * rates.bandwidth), tokens * one.decoding / (by.wide * rates.wide)
            )
        return read

    def _sums(self, tokens: float) -> float:
        """All-reduces of tensor parallelism: two a layer."""
        tensor = self.settings.ranks.tensor
        if tensor == 1:
            return 0.0
        moved = 2 * (tensor - 1) / tensor * tokens * self.work.hidden_bytes / self.rates.link
        return 2 * self.work.layers * (self.factors.reduce + moved)
