"""What runs inside vLLM's pods. The operator hands its source over, as a file of the pod."""
