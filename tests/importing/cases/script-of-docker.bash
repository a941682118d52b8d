#!/usr/bin/env bash
set -euo pipefail
MODEL="Qwen/Qwen2.5-14B-Instruct-AWQ"
docker stop chat && docker rm chat
sudo docker run -d --gpus '"device=0,1"' --name chat -p 8000:8000 \
  -v "$HOME/.cache/huggingface:/root/.cache/huggingface" \
  vllm/vllm-openai:latest \
  --model ${MODEL} --tensor-parallel-size "${TP:-2}" --max-model-len 16k
docker run -d -p 3000:8080 ghcr.io/open-webui/open-webui:main
make warm-up
echo "http://localhost:8000/v1"
