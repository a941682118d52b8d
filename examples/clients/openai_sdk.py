"""The OpenAI SDK with a served model: list models, chat, stream, complete.

Set OPENAI_BASE_URL (http://SERVICE.NAMESPACE.svc:8000/v1), OPENAI_API_KEY ("none" without one) and MODEL.
"""

import os

from openai import OpenAI

client = OpenAI()  # reads OPENAI_BASE_URL and OPENAI_API_KEY
model = os.environ.get("MODEL") or client.models.list().data[0].id
print("models: ", [served.id for served in client.models.list()])

chat = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "Who are you?"}], temperature=0, max_tokens=64
)
print("chat:   ", chat.choices[0].message.content)

stream = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "Count to ten."}], temperature=0, max_tokens=64, stream=True
)
print("stream: ", end=" ")
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)

completion = client.completions.create(model=model, prompt="Kubernetes runs", max_tokens=16, temperature=0)
print("\ncomplete:", completion.choices[0].text)
