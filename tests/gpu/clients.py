"""What gpu.serving asks by the OpenAI SDK beside the project's example: tools, a LoRA adapter, embeddings.

Each function returns whether the answers are right, and a line about them. The weights are random: what is looked at is
what vLLM guarantees whatever the model says.
"""

import json
import math

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.shared_params import FunctionDefinition

_CITIES, _MOST_DAYS = ["Paris", "Rome", "Oslo"], 9
# Every value is bounded: a random model would never end a free text. Without `strict`, vLLM 0.32 takes any JSON for the
# arguments, true as well.
_FORECAST: FunctionDefinition = {
    "name": "get_forecast",
    "strict": True,
    "description": "The weather of the next days in a city.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "enum": _CITIES},
            "days": {"type": "integer", "minimum": 1, "maximum": _MOST_DAYS},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}
_TOOL: ChatCompletionToolParam = {"type": "function", "function": _FORECAST}
_MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the weather in Rome?"}]
# Enough for many calls with blanks between; greedy decoding could repeat a blank for ever.
_TOKENS, _SEED, _SECONDS = 3000, 20, 90.0
Call = tuple[str, str]
"""The name of a function, and its arguments as the model wrote them."""


def _client(url: str) -> OpenAI:
    return OpenAI(base_url=url, api_key="none", timeout=_SECONDS, max_retries=0)


def _wrong(calls: list[Call]) -> str:
    """What is wrong with the calls; empty where they are as the schema says."""
    for name, arguments in calls:
        given = json.loads(arguments)
        if name != "get_forecast" or not isinstance(given, dict) or set(given) != {"city", "days"}:
            return f"{name}({arguments})"
        if given["city"] not in _CITIES or not 1 <= given["days"] <= _MOST_DAYS:
            return f"{name}({arguments})"
    return "" if calls else "no call"


def _whole(client: OpenAI, model: str, *, named: bool) -> list[Call]:
    """The calls of an answer that comes at once."""
    answer = client.chat.completions.create(
        model=model, messages=_MESSAGES, tools=[_TOOL], max_tokens=_TOKENS, seed=_SEED,
        tool_choice={"type": "function", "function": {"name": "get_forecast"}} if named else "required",
    )  # fmt: skip
    calls = answer.choices[0].message.tool_calls or []
    return [(call.function.name, call.function.arguments) for call in calls if call.type == "function"]


def _streamed(client: OpenAI, model: str, *, named: bool) -> list[Call]:
    """The calls of a streamed answer, put together as clients do."""
    stream = client.chat.completions.create(
        model=model, messages=_MESSAGES, tools=[_TOOL], max_tokens=_TOKENS, seed=_SEED, stream=True,
        tool_choice={"type": "function", "function": {"name": "get_forecast"}} if named else "required",
    )  # fmt: skip
    names: dict[int, str] = {}
    texts: dict[int, str] = {}
    for chunk in stream:
        for part in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            if part.function:
                names[part.index] = names.get(part.index) or part.function.name or ""
                texts[part.index] = texts.get(part.index, "") + (part.function.arguments or "")
    return [(names[index], text) for index, text in sorted(texts.items())]


def tools(url: str, model: str) -> tuple[bool, str]:
    """A named function and `required`, whole and streamed: the arguments are as the function's schema says."""
    client, said, good = _client(url), [], True
    for how, ask in (("whole", _whole), ("streamed", _streamed)):
        for named in (True, False):
            try:
                calls = ask(client, model, named=named)
                wrong = _wrong(calls)
            except ValueError as error:  # no JSON
                calls, wrong = [], str(error)
            good = good and not wrong
            said.append(f"{'named' if named else 'required'} {how} {wrong or f'{len(calls)} right'}")
    return good, ", ".join(said)


def adapter(url: str, model: str, name: str) -> tuple[bool, str]:
    """The adapter is listed, and answers otherwise than the model.

    `url` is one replica's: another may have chosen other kernels, and so give other answers.
    """
    client = _client(url)
    listed = sorted(served.id for served in client.models.list())
    first, again, other = (
        client.completions.create(model=each, prompt="Kubernetes runs", max_tokens=16, temperature=0).choices[0].text
        for each in (model, model, name)
    )
    good = listed == sorted([model, name]) and bool(other) and other not in (first, again)
    repeats = "repeats itself" if first == again else "does not repeat itself"
    differs = "another" if other != first else "the same"
    return good, f"models {listed}; the model {repeats}, the adapter's answer is {differs}"


def embeddings(url: str, model: str, size: int) -> tuple[bool, str]:
    """Two texts at once and one of them again: unit vectors of `size` numbers, and equal ones for equal texts."""
    client = _client(url)
    texts = ["Kubernetes runs containers.", "The capital of France is Paris."]
    both = [item.embedding for item in client.embeddings.create(model=model, input=texts).data]
    again = client.embeddings.create(model=model, input=texts[0]).data[0].embedding
    sizes = {len(vector) for vector in [*both, again]}
    lengths = [math.sqrt(sum(value * value for value in vector)) for vector in [*both, again]]
    if len(both) != len(texts) or sizes != {size}:
        return False, f"{len(both)} vectors of {sorted(sizes)} numbers"
    same, other = (sum(a * b for a, b in zip(both[0], vector, strict=True)) for vector in (again, both[1]))
    good = all(abs(length - 1) < 1e-2 for length in lengths) and same > 0.999 and other < same
    ends = f"{min(lengths):.4f} to {max(lengths):.4f}"
    return good, f"{size} numbers, length {ends}, cosine of equal texts {same:.4f}, of others {other:.4f}"
