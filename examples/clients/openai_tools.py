"""Tool calls with the OpenAI SDK: the model says which function to call. The service needs `toolCallParser`.

Set OPENAI_BASE_URL (http://SERVICE.NAMESPACE.svc:8000/v1), OPENAI_API_KEY ("none" without one) and MODEL.
"""

import json
import os

from openai import OpenAI
from openai.types.shared_params import FunctionDefinition

weather: FunctionDefinition = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
answer = OpenAI().chat.completions.create(
    model=os.environ["MODEL"],
    messages=[{"role": "user", "content": "What is the weather in Paris?"}],
    tools=[{"type": "function", "function": weather}],
    temperature=0,
)
for call in answer.choices[0].message.tool_calls or []:
    if call.type == "function":
        print(call.function.name, json.loads(call.function.arguments))
