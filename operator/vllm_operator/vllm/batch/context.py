"""What `check` knows of the model without a GPU: the names that it is served by, and how long its context is."""

import json
from functools import cached_property
from typing import Any, NamedTuple

from .faults import OURS
from .lines import Request

# What a chat template may put around a message, in tokens: below the context by that much, nobody needs to count.
_TEMPLATE_TOKENS = 256
# What names the tokens that are to be made, first what counts first.
_OUTPUT_TOKENS = {"/v1/chat/completions": ("max_completion_tokens", "max_tokens"), "/v1/completions": ("max_tokens",)}
# With these a request is rendered in its own way.
_RENDERING = {"chat_template", "chat_template_kwargs", "add_generation_prompt", "add_special_tokens"}


class TokenizerName(NamedTuple):
    """What counts tokens as vLLM does."""

    name: str
    """A folder, or a repository of the hub."""
    revision: str | None = None
    chats: bool = True
    """Whether chats are rendered with its own chat template; else only the engine can count their tokens."""


class ModelLimits:
    """Holds requests against the names and the context, in tokens (None: unknown, so nothing is too long)."""

    def __init__(self, names: list[str], context: int | None, counts: TokenizerName | None) -> None:
        self._names = names
        self._context = context
        self._counts = counts

    def fault(self, request: Request) -> str | None:
        """A name that is not served."""
        name = request.body.get("model")
        if not self._names or not name or name in self._names:
            return None
        return f"body.model must be {' or '.join(self._names)}, or left out"

    def too_long(self, request: Request) -> bool:
        """Whether vLLM would refuse it for its length. Counts tokens only where the bytes do not settle it.

        As vLLM 0.32 does it (vllm/renderers/params.py, vllm/v1/engine/input_processor.py): it cuts max_tokens to what
        the prompt leaves, so each has to fit by itself, with room for one token where text is made.
        """
        if self._context is None:
            return False
        names = _OUTPUT_TOKENS.get(request.url)
        wanted = next((request.body[name] for name in names or () if request.body.get(name) is not None), 0)
        if isinstance(wanted, int) and wanted > self._context:
            return True
        if request.body.get("truncate_prompt_tokens") is not None:
            return False
        room = self._context - (1 if names else 0)
        prompt = request.body.get("messages", request.body.get("prompt", request.body.get("input", "")))
        # A token is at least one byte of the text.
        if len(json.dumps(prompt, ensure_ascii=False).encode(errors="surrogatepass")) + _TEMPLATE_TOKENS <= room:
            return False
        tokens = self._tokens(request.body, prompt)
        return tokens is not None and tokens > room

    def _tokens(self, body: dict[str, Any], prompt: Any) -> int | None:
        """Tokens of the longest prompt; None where only the engine can say."""
        if isinstance(prompt, list) and prompt and all(isinstance(part, int) for part in prompt):
            return len(prompt)
        chats = self._counts is None or self._counts.chats
        if body.keys() & _RENDERING or ("messages" in body and not chats) or self._tokenizer is None:
            return None
        try:
            if "messages" in body:
                text = self._tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
                return len(self._tokenizer.encode(text, add_special_tokens=False))
            texts = [prompt] if isinstance(prompt, str) else prompt
            return max(len(text) if isinstance(text, list) else len(self._tokenizer.encode(text)) for text in texts)
        except (
            Exception
        ):  # templates and tokenizers raise anything; the engine then says what is wrong with the request
            return None

    @cached_property
    def _tokenizer(self) -> Any:
        if self._counts is None:
            return None
        from transformers import AutoTokenizer  # noqa: PLC0415 - takes seconds, and is seldom needed

        try:
            return AutoTokenizer.from_pretrained(self._counts.name, revision=self._counts.revision)
        except (OSError, ValueError) as error:
            print(f"{OURS}no tokenizer, so lengths are not checked: {error}", flush=True)  # noqa: T201
            return None
