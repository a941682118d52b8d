"""LangChain with a served model: a prompt, a chain, a stream.

Set OPENAI_BASE_URL (http://SERVICE.NAMESPACE.svc:8000/v1), OPENAI_API_KEY ("none" without one) and MODEL.
"""

import os

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

model = ChatOpenAI(
    model=os.environ["MODEL"],
    base_url=os.environ["OPENAI_BASE_URL"],
    api_key=SecretStr(os.environ.get("OPENAI_API_KEY", "none")),
    temperature=0,
)
chain = ChatPromptTemplate.from_template("What is the capital of {country}?") | model | StrOutputParser()
print(chain.invoke({"country": "France"}))
for part in model.stream("Tell me a joke."):
    print(part.text, end="", flush=True)
print()
