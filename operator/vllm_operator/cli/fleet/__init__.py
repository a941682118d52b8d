"""What `kubectl vllm status`, `logs` and `classes` show, with the rights of who asks."""
