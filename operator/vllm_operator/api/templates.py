"""Chat templates that vLLM's own images carry, by their files' names without .jinja, and where each lies.

Read off the folder `examples` of vLLM 0.32.0, which its Dockerfiles copy into the images; none of them is ours.
"""

from typing import Literal, get_args

ChatTemplateName = Literal[
    "template_alpaca", "template_chatglm", "template_chatglm2", "template_chatml", "template_falcon",
    "template_falcon_180b", "template_inkbot", "template_teleflm", "tool_chat_template_apertus",
    "tool_chat_template_deepseekr1", "tool_chat_template_deepseekv3", "tool_chat_template_deepseekv31",
    "tool_chat_template_functiongemma", "tool_chat_template_gemma3_pythonic", "tool_chat_template_gemma4",
    "tool_chat_template_glm4", "tool_chat_template_granite", "tool_chat_template_granite_20b_fc",
    "tool_chat_template_hermes", "tool_chat_template_hunyuan_a13b", "tool_chat_template_internlm2_tool",
    "tool_chat_template_llama3.1_json", "tool_chat_template_llama3.2_json", "tool_chat_template_llama3.2_pythonic",
    "tool_chat_template_llama4_json", "tool_chat_template_llama4_pythonic", "tool_chat_template_mistral",
    "tool_chat_template_mistral3", "tool_chat_template_mistral_parallel", "tool_chat_template_muse_glimmer",
    "tool_chat_template_phi4_mini", "tool_chat_template_qwen3coder", "tool_chat_template_toolace",
    "tool_chat_template_xlam_llama", "tool_chat_template_xlam_qwen",
]  # fmt: skip
RerankTemplateName = Literal[
    "bge-reranker-v2-gemma", "mxbai_rerank_v2", "nemotron-rerank", "nemotron-vl-rerank", "qwen3_reranker",
    "qwen3_vl_reranker", "zerank2",
]  # fmt: skip
EmbedTemplateName = Literal[
    "dse_qwen2_vl", "nemotron_embed_vl", "vlm2vec_phi3v", "vlm2vec_qwen2vl",
]  # fmt: skip
TemplateName = Literal[ChatTemplateName, RerankTemplateName, EmbedTemplateName]

_FOLDERS = {
    ChatTemplateName: "",
    RerankTemplateName: "pooling/score/template/",
    EmbedTemplateName: "pooling/embed/template/",
}
IMAGE_TEMPLATES = {name: f"{folder}{name}.jinja" for names, folder in _FOLDERS.items() for name in get_args(names)}
"""The file of each, below the folder `examples`."""
