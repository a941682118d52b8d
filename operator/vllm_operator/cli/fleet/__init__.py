"""What `kubectl vllm status` and `kubectl vllm logs` show, with the rights of who asks."""
