"""Whether a service fits, and which GPUs there are for it. Pure."""
