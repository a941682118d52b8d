"""`kubectl vllm batch run` and `fetch`: they write to the cluster, as the user and with the user's rights."""
