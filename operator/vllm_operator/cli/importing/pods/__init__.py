"""What Kubernetes says of a pod that runs vLLM, beside its command line: resources, scheduling, probes, security."""
