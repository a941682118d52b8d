vllm serve /models/Llama-3.1-8B --max-model-len 8192 --compilation-config '{"mode": 3, "cudagraph_mode": "piecewise"}'
