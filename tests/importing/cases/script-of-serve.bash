# No line says that this is a script: its name does.
source ~/venv/bin/activate
CUDA_VISIBLE_DEVICES=1 python -m vllm.entrypoints.openai.api_server --model $HOME/models/Qwen3-8B --max-model-len 2048
vllm serve Qwen/Qwen3-Embedding-0.6B --port 8001
