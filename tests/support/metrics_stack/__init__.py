"""What a cluster has beside the operator to be monitored and to scale: Prometheus, its operator, its adapter, KEDA."""
