"""Whether a spec that a ServingClass filled in still keeps the rules between fields. Pure.

The API server has checked what the user wrote and what the class says, each for itself; that both together keep the
rules, only we can tell. The sentences are those of the rules in api/: a test holds this list against all of them.
"""

from collections.abc import Callable, Iterator, Mapping

from ..api import accelerator, combinations, groups, loading, pod, ray, rollout, spec, storage, tuning
from ..api.base import Rule
from ..api.fields import fields
from ..api.flags.versions import engine_version, needs, too_old
from ..api.pod import Resources
from ..api.quantities import exact
from ..api.spec import InferenceServiceSpec
from ..api.tuning import Attention, Compilation
from ..api.vocabulary import OLDEST_VLLM_VERSION
from ..vllm.argv import loader, ranks_of_replica
from .limits import most_replicas


def _on_cpu(given: InferenceServiceSpec) -> bool:
    return given.accelerator.resource == "cpu"


def _can_draft(given: InferenceServiceSpec) -> bool:
    ranks_of_draft = given.speculative.draft_tensor_parallel_size if given.speculative else None
    return ranks_of_draft in (None, 1) or given.tensor_parallel_size in (None, ranks_of_draft)


def _keeps_prompts(given: InferenceServiceSpec) -> bool:
    events = given.kv_cache.events if given.kv_cache else None
    guarded = given.api_key_secret_ref or given.api_key_secret_refs
    return events is None or given.network_policy is not None or not guarded


def _is_shared(given: InferenceServiceSpec) -> bool:
    claim = given.cache.claim if given.cache else None
    return claim is None or claim.access_mode == "ReadWriteMany"


def _shares_volume(given: InferenceServiceSpec) -> bool:
    return _is_shared(given) or most_replicas(given) <= 1


def _can_share(given: InferenceServiceSpec) -> bool:
    """Whether the ranks lie on the nodes in equal parts."""
    return given.tensor_parallel_size != spec.AUTO and ranks_of_replica(given) % given.nodes == 0


def _can_roll(given: InferenceServiceSpec) -> bool:
    steps = given.rollout
    return steps is None or steps.max_unavailable != 0 or bool(steps.max_surge)


def _sets_once(given: InferenceServiceSpec) -> bool:
    """Whether no flag is in extraArgs that model.format or model.loadFormat stands for."""
    flags = {argument.partition("=")[0] for argument in given.extra_args or ()}
    of_format = {"--load-format", "--config-format", "--tokenizer-mode"} if given.model.format else set()
    of_loading = {"--load-format"} if given.model.load_format else set()
    return not flags & (of_format | of_loading)


def _reads_bucket(given: InferenceServiceSpec) -> bool:
    uri = given.model.uri
    readers = loading.STREAMERS if uri.startswith("s3://") else loading.STREAMERS[:1]
    return not uri.startswith(storage.BUCKETS) or loader(given) in readers


def _finds_shards(given: InferenceServiceSpec) -> bool:
    """Whether files of each rank are in a folder, or vLLM takes its cache for one."""
    offline = any(loading.is_offline(one.name, one.value) for one in given.env or ())
    return offline or not given.model.uri.startswith("hf://") or loader(given) not in loading.SHARDED


def _threads(given: InferenceServiceSpec) -> bool:
    return bool(given.model.loader_options and given.model.loader_options.num_threads)


def _streams(given: InferenceServiceSpec) -> bool:
    """Whether options of the streamer stand beside it."""
    options = given.model.loader_options
    told = options and (options.concurrency or options.memory_limit or options.distributed is not None)
    return not told or loader(given) == "runai_streamer"


def _enough(resources: Resources | None, name: str) -> bool:
    limit = getattr(resources.limits, name) if resources and resources.limits else None
    request = getattr(resources.requests, name) if resources and resources.requests else None
    return limit is None or request is None or exact(limit) >= exact(request)


def _value(given: InferenceServiceSpec, flag: str) -> str | None:
    """What extraArgs says of a flag; None where it is not there."""
    return next((one.partition("=")[2] for one in given.extra_args or () if one.startswith(f"{flag}=")), None)


def _attention(given: InferenceServiceSpec) -> Attention:
    return (given.tuning.attention if given.tuning else None) or Attention()


def _compilation(given: InferenceServiceSpec) -> Compilation:
    return (given.tuning.compilation if given.tuning else None) or Compilation()


def _ends_with_largest(given: InferenceServiceSpec) -> bool:
    """Whether the largest of the sizes of CUDA graphs is the one that is said to be."""
    one, passed = _compilation(given), _value(given, tuning.LARGEST_FLAG) or ""
    said = {one.max_cudagraph_capture_size, int(passed) if passed.isdecimal() else None} - {None}
    return not one.cudagraph_capture_sizes or said <= {max(one.cudagraph_capture_sizes)}


_NEWER = "use a newer image, or leave it out"
FIELDS = tuple(fields(InferenceServiceSpec))
# Flags that the operator leaves out where vLLM lacks them: what their fields say holds all the same.
OPTIONAL = ("shutdown-timeout",)

_WHOLE_OR_CPU = (*accelerator.WHOLE, "cpu")


def _one_rank(given: InferenceServiceSpec) -> bool:
    sizes = (given.tensor_parallel_size, given.pipeline_parallel_size, given.data_parallel_size)
    return all(size in (None, 1) for size in sizes)


def _done_by_ray(field: str) -> Callable[[InferenceServiceSpec], bool]:
    """Whether a spec does not ask Ray Serve for a field that it cannot do."""
    return lambda given: not (given.on_ray and ray.REFUSED[field].asks(given))


# Each rule between fields that a class can set, and whether a spec keeps it.
CHECKS: tuple[tuple[Rule, Callable[[InferenceServiceSpec], bool]], ...] = (
    (
        spec.TOKENS_RULE,
        lambda s: not (s.max_num_batched_tokens and s.max_num_seqs) or s.max_num_batched_tokens >= s.max_num_seqs,
    ),
    (spec.RANKS_RULE, lambda s: ranks_of_replica(s) <= spec.MOST_RANKS),
    (spec.DRAFT_RANKS_RULE, _can_draft),
    (spec.API_KEYS_RULE, lambda s: not (s.api_key_secret_ref and s.api_key_secret_refs)),
    (spec.EVENTS_RULE, _keeps_prompts),
    (spec.SHARED_VOLUME_RULE, _shares_volume),
    (spec.CPU_PIPELINE_RULE, lambda s: not _on_cpu(s) or s.pipeline_parallel_size in (None, 1)),
    (groups.NODES_RULE, lambda s: s.nodes == 1 or _can_share(s)),
    (groups.NODES_DATA_RULE, lambda s: s.nodes == 1 or s.data_parallel_size in (None, 1)),
    (groups.NODES_VOLUME_RULE, lambda s: s.nodes == 1 or _is_shared(s)),
    (groups.NODES_EAGER_RULE, lambda s: s.nodes == 1 or not _on_cpu(s) or not s.enforce_eager),
    (spec.AUTO_ON_CPU_RULE, lambda s: not _on_cpu(s) or s.tensor_parallel_size != spec.AUTO),
    (spec.CPU_OFFLOAD_RULE, lambda s: not _on_cpu(s) or not (s.kv_cache and s.kv_cache.cpu_offload)),
    (loading.SHARED_FLAGS_RULE, _sets_once),
    (loading.BUCKET_RULE, _reads_bucket),
    (loading.SHARDED_RULE, _finds_shards),
    (
        loading.NPCACHE_RULE,
        lambda s: not s.model.uri.startswith(("pvc://", "oci://")) or loader(s) != "npcache",
    ),
    (loading.THREADS_RULE, lambda s: not _threads(s) or loader(s) in (*loading.THREADED, "mistral")),
    (loading.STRATEGY_RULE, lambda s: not _threads(s) or _value(s, "--safetensors-load-strategy") in (None, "lazy")),
    (loading.STREAMER_RULE, _streams),
    (
        storage.STORE_RULE,
        lambda s: not s.model.object_store or not {one.name for one in s.env or ()} & {*storage.STORE_VARIABLES},
    ),
    (spec.CPU_WEIGHTS_RULE, lambda s: not _on_cpu(s) or not s.weights_cpu_offload_per_gpu),
    (
        tuning.BACKEND_TWICE_RULE,
        lambda s: _attention(s).backend is None or _value(s, "--attention-backend") is None,
    ),
    (
        tuning.GRAPHS_TWICE_RULE,
        lambda s: _compilation(s).max_cudagraph_capture_size is None or _value(s, tuning.LARGEST_FLAG) is None,
    ),
    (tuning.GRAPH_SIZES_RULE, _ends_with_largest),
    (accelerator.ONE_SLICE_RULE, lambda s: s.accelerator.resource in _WHOLE_OR_CPU or _one_rank(s)),
    (
        accelerator.AUTO_CLAIMS_RULE,
        lambda s: not s.accelerator.device_class or s.tensor_parallel_size != spec.AUTO,
    ),
    (accelerator.ONE_RANK_RULE, lambda s: not s.accelerator.count or _one_rank(s)),
    (
        accelerator.COUNT_RULE,
        lambda s: (
            not s.accelerator.count
            or (s.accelerator.resource in ("nvidia.com/gpu", accelerator.SHARED) and not s.accelerator.device_class)
        ),
    ),
    (
        accelerator.CLASS_RULE,
        lambda s: not s.accelerator.device_class or s.accelerator.resource in accelerator.WHOLE,
    ),
    (accelerator.SELECTOR_RULE, lambda s: not s.accelerator.device_selector or bool(s.accelerator.device_class)),
    (accelerator.PRODUCT_RULE, lambda s: not _on_cpu(s) or not s.accelerator.product),
    (accelerator.MEMORY_RULE, lambda s: not _on_cpu(s) or not s.accelerator.memory),
    (rollout.STEPS_RULE, _can_roll),
    (pod.CPU_RULE, lambda s: _enough(s.resources, "cpu")),
    (pod.MEMORY_RULE, lambda s: _enough(s.resources, "memory")),
    *((rule, _done_by_ray(field)) for field, rule in ray.RULES.items()),
    *combinations.CHECKS,
)


def broken(given: InferenceServiceSpec) -> str | None:
    """The sentence of the first rule that the spec does not keep; None where it keeps all of them."""
    return next((str(rule["message"]) for rule, keeps in CHECKS if not keeps(given)), None)


def not_in_image(given: InferenceServiceSpec) -> str | None:
    """What the image's vLLM is too old for, with what to do; None where it has all, or its tag does not tell."""
    image, version = given.image, engine_version(given.image)
    if too_old(image):
        return (
            f"the operator supports vLLM {OLDEST_VLLM_VERSION} and newer, and {image} has {version}: use a newer image"
        )
    for what, said in _told(given):
        if since := needs(said, image):
            return f"{what} needs vLLM {since}, and {image} has {version}: {_NEWER}"
    return None


def _told(given: InferenceServiceSpec) -> Iterator[tuple[str, str]]:
    """What of a spec vLLM gets, for people and as `needs` takes it: flags and keys of JSON, then the words of each."""
    for field in FIELDS:
        value = field.value_in(given)
        names = [flag.name for flag in field.flags if flag.name not in OPTIONAL] + [field.key] * bool(field.key)
        for name in names if value is not None else ():
            yield field.path, name
            if field.scalar:
                yield f"{field.path}: {value}", f"{name}={value}"
            elif isinstance(value, Mapping):
                yield from ((f"{field.path}.{key}", f"{name}.{key}") for key in value)
    for one in given.extra_args or ():
        flag = one.split("=", 1)[0]
        yield from ((f"{said} in extraArgs", said) for said in (flag, one))
