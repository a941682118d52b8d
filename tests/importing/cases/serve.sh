VLLM_LOGGING_LEVEL=DEBUG vllm serve Qwen/Qwen3-8B --max-model-len 32K --enable-prefix --reasoning-parser qwen3 --port 9000
