"""A Kubernetes operator that serves large language models with vLLM."""
