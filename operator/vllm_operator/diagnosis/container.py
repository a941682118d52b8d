"""Why vLLM's container ended: from its exit, how long it ran, and its last words. Pure.

What a log says is shown as it is only where the pod was never ready: later lines may hold what users sent. Then only
texts of the table (catalogue.py) and the names of exceptions are told.
"""

import re
import signal
from functools import lru_cache

from ..api.reasons import Finding, Reason
from ..snapshots.pod import Ending, PodSnapshot
from ..snapshots.pod_event import last
from ..vllm.hangs import HANG_SECONDS, HUNG
from ..vllm.middleware import HUNG_STATUS, NO_KEY, NO_KEYS, UNSENT_KEY
from .catalogue import BETWEEN_RANKS, SYMPTOMS
from .device_symptoms import DRIVER
from .log import (
    WORKER_FAILED,
    crash,
    exception_names,
    fatal,
    last_error,
    last_line,
    only_points_elsewhere,
    place_of_last_error,
    raised,
    refuses_values,
    tells_every_exception,
)
from .redaction import redact, shorten
from .symptom import OF_SYSTEM, Symptom

_SIGKILL, _SIGTERM = 128 + signal.SIGKILL, 128 + signal.SIGTERM
_BAD_USAGE = 2
# Exit codes that tell of a signal; those above are a program's own, or a runtime's.
_BY_SIGNAL = range(129, 193)
# Of a container whose end nobody saw: containerd's word, and the kubelet's.
_UNSEEN = ("Unknown", "ContainerStatusUnknown")
# Of a container that the runtime did not get to start: containerd's word, and Docker's.
_NEVER_STARTED = ("StartError", "ContainerCannotRun")
_VALUE_MAX = 120
_PLAIN_VALUE = re.compile(r"[\w./:-]{1,64}(?: [kKMGT]?i?B| bytes)?")
# What the operator's middleware leaves as termination message when requests run and the engine makes no step.
_HUNG = re.compile(re.escape(HUNG) + r"(?P<words>[\w ,.:=/()-]{1,200})")
_KILLING = re.compile(r"failed (?P<probe>liveness|startup) probe")
_PROBED = re.compile(r"^(?:Liveness|Readiness|Startup) probe failed: (?:Get \"[^\"]*\": )?")
_HANGING = f"statuscode: {HUNG_STATUS}"
_NO_COMMAND = re.compile(r"exec: \\?\"(?P<command>[^\"\\]+)\\?\": .*(?:not found|no such file)")
# NVIDIA's container runtime, before the container is started (src/cli/ in libnvidia-container).
_NO_GPUS = re.compile(r"nvidia-container-cli: (?P<what>[^\n]{1,200}?)(?:: unknown)?(?:\n|$)")
_TOO_NEW = re.compile(r"unsatisfied condition: (?P<condition>(?:cuda|driver)[^,\n]{1,40})")
# Processes that do not hold the container: a worker, and engines that ended before they were up, each with its exit
# code. vLLM looks at a worker's at times too early ("None"), and at those of engines ("{}").
_WORKER_ENDED = re.compile(r"Worker proc [\w-]{1,40} died unexpectedly \(exit code: (?P<code>-?\d{1,3}|None)\)")
_ENGINES_ENDED = re.compile(r"Failed core proc\(s\): \{(?P<codes>[^{}\n]{1,4096})\}")
_CODE = re.compile(r": (-?\d{1,3})(?![\w-])")
_FOR_MEMORY = (
    "; most likely the kernel of node {node} did that as memory ran out: raise resources.requests.memory, and "
    "resources.limits.memory where it is set"
)
_SIGNALS: dict[int, str] = {
    signal.SIGILL: "the image's code is not for this CPU: use an image that is, or another node",
    signal.SIGBUS: "shared memory or a mapped file gave out: check the volumes, and the node's memory",
}


def ended(pod: PodSnapshot, ending: Ending) -> Finding:
    """The most telling cause: what Kubernetes knows for sure, what vLLM is known to say, who ended it, other words."""
    causes = (*_SURE, _ended_by_kubernetes, _process_ended, _unknown, _exited)
    reason, message = next(finding for cause in causes if (finding := cause(pod, ending)))
    doing = "stopped" if ending.served or ending.reason in _UNSEEN else "does not start"
    return reason, f"vLLM in pod {pod.name} {doing}: {message}{restarted(pod.restarts)}"


def silent(pod: PodSnapshot) -> Finding:
    """A container that served and still runs, but whose readiness probe fails."""
    said = last(pod.events, "Unhealthy")
    if pod.hangs or (said and said.message.endswith(_HANGING)):
        return (
            Reason.ENGINE_HUNG,
            f"vLLM in pod {pod.name} hangs: requests wait, and its engine has made no step for {HANG_SECONDS:.0f} s or "
            "more; it gets no requests now, and is restarted if that lasts: look for errors of the GPU on node "
            f"{pod.node}",
        )
    return (
        Reason.NOT_ANSWERING,
        f"vLLM in pod {pod.name} served and no longer answers its probes (/health){_answer(pod)}: it gets no requests "
        f"now, and is restarted if that lasts; kubectl logs {pod.name} shows more",
    )


def wants_log(pod: PodSnapshot) -> bool:
    """Whether more of the log than the kubelet keeps would tell more: of an exit code of 0 it keeps nothing."""
    ending = pod.ending
    if ending is None or _unseen(pod, ending):
        return False
    known = _symptom(ending.log, served=ending.served)
    return bool(known and known[0].vague) or not any(cause(pod, ending) for cause in (*_SURE, _ended_by_kubernetes))


def wants_events(pod: PodSnapshot) -> bool:
    """Whether the pod's Events would tell who ended the container. vLLM exits with 0 when it is asked to end, too."""
    ending = pod.ending
    if ending is None or ending.exit_code not in (0, _SIGKILL, _SIGTERM):
        return False
    return not any(cause(pod, ending) for cause in _SURE)


def restarted(restarts: int) -> str:
    """How often, in powers of two: a message that counted each restart would be a write of the status each time."""
    floor = 1 << (restarts.bit_length() - 1) if restarts else 0
    return {0: "", 1: "", 2: "; restarted twice"}.get(floor, f"; restarted {floor} times or more")


def _unseen(pod: PodSnapshot, ending: Ending) -> Finding | None:
    """Its exit code tells nothing then, nor does its log: it was taken away in the middle."""
    if ending.reason not in _UNSEEN:
        return None
    return Reason.STARTING, f"node {pod.node}, or its container runtime, was restarted; vLLM is started anew there"


def _hung(_: PodSnapshot, ending: Ending) -> Finding | None:
    if not (hung := _HUNG.match(ending.log)):
        return None
    words = shorten(redact(hung["words"]), _VALUE_MAX).rstrip(".")
    return (
        Reason.ENGINE_HUNG,
        f"its engine hung ({words}), and it was started anew: if that happens again, look for errors of the GPU on "
        "that node, or use another image",
    )


_WITHOUT_KEY = {
    NO_KEYS: "no Secret of apiKeySecretRefs has its key, so nobody could use it: put a key into one of the Secrets",
    NO_KEY: "the Secret of apiKeySecretRef holds an empty key, with which everybody could use it: put a key into the "
    "Secret",
    UNSENT_KEY: "the key in the Secret of apiKeySecretRef has a line end in it or a blank around it, which no client "
    "sends, so nobody could use it: write the key alone, as `printf %s KEY` does and `echo KEY` does not",
}


def _without_key(_: PodSnapshot, ending: Ending) -> Finding | None:
    told = next((told for words, told in _WITHOUT_KEY.items() if ending.log.startswith(words)), None)
    return (Reason.API_KEY_EMPTY, f"{told}; the next restart takes it") if told else None


def _killed_for_memory(pod: PodSnapshot, ending: Ending) -> Finding | None:
    if ending.reason != "OOMKilled":
        return None
    limit = pod.asked.memory_limit
    if not limit:
        return (
            Reason.OUT_OF_MEMORY,
            f"node {pod.node} ran out of memory, and the pod has no limit: set resources.requests.memory to what it "
            "needs, so that it gets a node that has it",
        )
    return (
        Reason.OUT_OF_MEMORY,
        f"it took more host memory than its limit of {limit} (with /dev/shm and what GPUs keep in it): raise "
        "resources.limits.memory",
    )


def _process_killed(pod: PodSnapshot, ending: Ending) -> Finding | None:
    """What a process was ended by, where that alone says what to do."""
    return (
        _process_ended(pod, ending)
        if _process_signal(ending.log, served=ending.served) in (signal.SIGKILL, *_SIGNALS)
        else None
    )


def _process_ended(pod: PodSnapshot, ending: Ending) -> Finding | None:
    """The kernel may end a single process for memory: Kubernetes learns nothing of that."""
    if (number := _process_signal(ending.log, served=ending.served)) is None:
        return None
    if number == signal.SIGKILL:
        return Reason.OUT_OF_MEMORY, f"one of its processes was killed{_FOR_MEMORY.format(node=pod.node)}"
    reason = Reason.ENGINE_DIED if ending.served else Reason.CONTAINER_FAILED
    words = "" if pod.was_ready else shorten(redact(crash(ending.log)), _VALUE_MAX)
    said = f" ({words})" if words else ""
    return reason, f"one of its processes was ended by {_name(number)}{said}: {_SIGNALS.get(number, _more(pod))}"


@lru_cache(maxsize=64)
def _process_signal(log: str, *, served: bool) -> int | None:
    """The signal that ended a process of vLLM's; None where none has."""
    text = fatal(log, served=served)
    worker = _WORKER_ENDED.search(text)
    # One that tells how it crashed was not killed.
    unseen = 0 if crash(text) else -signal.SIGKILL
    codes = [unseen if worker["code"] == "None" else int(worker["code"])] if worker else []
    return next((-code for code in (*codes, *_engine_codes(text)) if code < 0), None)


def _engine_codes(log: str) -> list[int]:
    """The exit codes of the engines that ended before they were up, as vLLM tells them (vllm/v1/engine/utils.py)."""
    told = _ENGINES_ENDED.search(log)
    return [int(code) for code in _CODE.findall(told["codes"])] if told else []


def _known(pod: PodSnapshot, ending: Ending) -> Finding | None:
    known = _symptom(ending.log, served=ending.served)
    return None if known and known[0] in BETWEEN_RANKS else _told(known, pod.node, served=pod.was_ready)


def _between_ranks(pod: PodSnapshot, ending: Ending) -> Finding | None:
    """What a rank says of others, or of data for them, where none of them was ended from outside."""
    # NCCL's watchdog aborts its own process.
    if _process_signal(ending.log, served=ending.served) not in (None, signal.SIGABRT):
        return None
    return _told(_symptom(ending.log, served=ending.served), pod.node, served=pod.was_ready)


def told_by(log: str) -> Finding | None:
    """What a text of the catalogue means in a log that holds no users' words; None where there is none."""
    return _told(_symptom(log, served=False), "its node", served=False)


def _told(known: tuple[Symptom, dict[str, str]] | None, node: str, *, served: bool) -> Finding | None:
    if known is None:
        return None
    symptom, said = known
    values = {name: _value(value, served=served) for name, value in said.items()}
    # A value may be empty.
    return symptom.reason, symptom.message.format(node=node, **values).replace(" )", ")")


@lru_cache(maxsize=64)  # of logs of 64 KiB at most: each is looked at again and again
def _symptom(log: str, *, served: bool) -> tuple[Symptom, dict[str, str]] | None:
    """The first symptom in a log, with its values. `served`: users' words may be in it."""
    text, exceptions = f"{fatal(log, served=served)}\n", raised(log, served=served)
    end = last_error(log, served=served)
    for symptom in SYMPTOMS:
        where = end if symptom.ends else exceptions if symptom.source == OF_SYSTEM else text
        if match := symptom.search(where):
            return symptom, match.groupdict()
    return None


def _value(value: str, *, served: bool) -> str:
    """A value out of the log. Once the pod has served, only what is a number, a size or a name."""
    value = value.strip().rstrip(",.")  # of the sentence around it
    if served and not _PLAIN_VALUE.fullmatch(value):
        return "..."
    return shorten(redact(value.removesuffix(".0")), _VALUE_MAX)


def _no_command(pod: PodSnapshot, ending: Ending) -> Finding | None:
    if ending.served or not (missing := _NO_COMMAND.search(ending.log)):
        return None
    return (
        Reason.CONTAINER_CONFIG,
        f"image {pod.image} has no command `{missing['command']}`: use an image with vLLM's OpenAI server",
    )


def _no_gpus(pod: PodSnapshot, ending: Ending) -> Finding | None:
    if ending.reason not in _NEVER_STARTED or not (said := _NO_GPUS.search(ending.log)):
        return None
    if asked := _TOO_NEW.search(said["what"]):
        return (
            Reason.DRIVER_UNSUITABLE,
            f"the NVIDIA driver of node {pod.node} is too old for image {pod.image}, which asks for "
            f"{asked['condition']}: {DRIVER}",
        )
    return (
        Reason.GPU_UNAVAILABLE,
        f"node {pod.node} cannot give it its GPUs ({shorten(redact(said['what']), _VALUE_MAX)}): check the NVIDIA "
        "driver and container toolkit there",
    )


def _ended_by_kubernetes(pod: PodSnapshot, ending: Ending) -> Finding | None:
    """Probes end a container with SIGTERM, then SIGKILL. Where no Event tells of it, its time and exit code do."""
    probe, budget = _failed_probe(pod, ending), pod.asked.startup_seconds
    spent = not ending.served and budget and ending.seconds >= budget
    if probe == "startup" or (not probe and spent):
        doing = "" if pod.was_ready else shorten(redact(last_line(ending.log)), _VALUE_MAX)
        return (
            Reason.STARTUP_TIMEOUT,
            f"it was not ready within {budget} s{f' (its last line: {doing})' if doing else ''}: raise "
            "startupTimeoutSeconds, or use cache.claim, so that downloads and compiled kernels are kept",
        )
    if probe == "liveness":
        return (
            Reason.LIVENESS_FAILED,
            f"Kubernetes killed it {_duration(ending.seconds)} after its start, as it no longer answered its liveness "
            f"probe (/health){_answer(pod)}{_exceptions(ending)}; {_more(pod)}",
        )
    # A pod that is not started anew has no such probe.
    if ending.served and not pod.failed and ending.exit_code in (_SIGKILL, _SIGTERM):
        return (
            Reason.LIVENESS_FAILED,
            f"it was killed after serving: most likely it no longer answered its liveness probe (/health)"
            f"{_exceptions(ending)}; {_more(pod)}",
        )
    return None


def _failed_probe(pod: PodSnapshot, ending: Ending) -> str:
    """The probe for which the kubelet killed this very container, as its Events tell; empty where they do not."""
    event = last((event for event in pod.events if event.last >= ending.started), "Killing")
    match = _KILLING.search(event.message) if event else None
    return match["probe"] if match else ""


def _answer(pod: PodSnapshot) -> str:
    """What the last probe got for an answer."""
    said = last(pod.events, "Unhealthy")
    return f" ({shorten(redact(_PROBED.sub('', said.message)), _VALUE_MAX)})" if said else ""


def _duration(seconds: int) -> str:
    """Roughly: a message that told each second would differ at each restart."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds // 10 * 10} s" if seconds >= 10 else "some seconds"


def _unknown(pod: PodSnapshot, ending: Ending) -> Finding | None:
    words = last_error(ending.log) or ("" if ending.exit_code in _BY_SIGNAL else last_line(ending.log))
    if not words or pod.was_ready:
        return None
    if only_points_elsewhere(words):
        if tells_every_exception(ending.log):
            return _without_a_word(pod, ending)
        # The kubelet keeps too little of the log: the traceback of the API server alone fills it.
        return (
            Reason.CONTAINER_FAILED,
            f"its engine did not start (exit code {ending.exit_code}), and the cause stands further up in its log: see "
            f"{_log_of(pod)}",
        )
    place = shorten(redact(place_of_last_error(ending.log)), _VALUE_MAX)
    words = shorten(redact(words))
    if place:
        return Reason.CONTAINER_FAILED, f"{words.rstrip(':')} at {place} (exit code {ending.exit_code}); {_more(pod)}"
    if ending.exit_code == _BAD_USAGE or refuses_values(ending.log):
        return Reason.INVALID_ARGUMENTS, f"vLLM refuses its arguments: {words}"
    return Reason.CONTAINER_FAILED, f"{words} (exit code {ending.exit_code})"


def _without_a_word(pod: PodSnapshot, ending: Ending) -> Finding:
    """Of a process that ended in no exception. Where that was a worker, its engine has an exit code all the same."""
    worker = _WORKER_ENDED.search(ending.log)
    if worker and worker["code"] != "None":
        said = f"one of its workers ended with exit code {worker['code']} and no exception"
        return Reason.CONTAINER_FAILED, f"{said}; {_more(pod)}"
    codes = [] if WORKER_FAILED in ending.log else _engine_codes(ending.log)
    if codes:
        return Reason.CONTAINER_FAILED, f"its engine ended with exit code {codes[0]} and no exception; {_more(pod)}"
    return Reason.OUT_OF_MEMORY, f"one of its processes ended without a word{_FOR_MEMORY.format(node=pod.node)}"


def _exited(pod: PodSnapshot, ending: Ending) -> Finding:
    said = _exceptions(ending)
    if ending.served and ending.exit_code == 0:
        # vLLM exits with 0 where its engine dies.
        return Reason.ENGINE_DIED, f"its engine died{said}; {_more(pod)}"
    if ending.exit_code in _BY_SIGNAL:
        number = ending.exit_code - 128
        return Reason.CONTAINER_FAILED, f"it was ended by {_name(number)}{said}: {_SIGNALS.get(number, _more(pod))}"
    return Reason.CONTAINER_FAILED, f"it ended with exit code {ending.exit_code}{said}; {_more(pod)}"


def _name(number: int) -> str:
    """A signal's name."""
    return signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"


def _exceptions(ending: Ending) -> str:
    names = exception_names(ending.log)
    return f" (its last exception: {names[-1]})" if names else ""


def _more(pod: PodSnapshot) -> str:
    return f"{_log_of(pod)} shows more"


def _log_of(pod: PodSnapshot) -> str:
    """How its log is read. In a pod that failed no other container has taken its place."""
    return f"kubectl logs {pod.name}{'' if pod.failed else ' --previous'}"


# What is certain without further evidence.
_SURE = (
    _unseen, _hung, _without_key, _killed_for_memory, _known, _no_command, _no_gpus, _process_killed, _between_ranks,
)  # fmt: skip
