"""LlamaIndex with a served model: a chat and a stream.

Set OPENAI_BASE_URL (http://SERVICE.NAMESPACE.svc:8000/v1), OPENAI_API_KEY ("none" without one) and MODEL.
"""

import os

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(
    model=os.environ["MODEL"],
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ.get("OPENAI_API_KEY", "none"),
    is_chat_model=True,
    temperature=0,
    max_tokens=64,
)
print(llm.chat([ChatMessage(role="user", content="What is Kubernetes?")]).message.content)
for part in llm.stream_chat([ChatMessage(role="user", content="What is vLLM?")]):
    print(part.delta, end="", flush=True)
print()
