"""What the OpenAI SDK raises for a wrong model and a wrong key.

Set OPENAI_BASE_URL (http://SERVICE.NAMESPACE.svc:8000/v1), OPENAI_API_KEY ("none" without one) and MODEL.
"""

import os

from openai import AuthenticationError, NotFoundError, OpenAI

client = OpenAI()
try:
    client.completions.create(model="no-such-model", prompt="Hello")
except NotFoundError as error:
    print("wrong model:", error.status_code, error.message)

try:
    client.with_options(api_key="wrong").completions.create(model=os.environ["MODEL"], prompt="Hello", max_tokens=1)
    print("wrong key: accepted, as this service has no apiKeySecretRef")
except AuthenticationError as error:
    print("wrong key: ", error.status_code, error.message)
