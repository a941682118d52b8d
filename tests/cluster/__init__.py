"""A real Kubernetes on this machine for the tests and the demo, built from source, with a node that runs containers."""
