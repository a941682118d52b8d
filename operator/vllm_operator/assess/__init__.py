"""Whether a service fits, which GPUs there are for it, and what its ServingClass gives it and allows. Pure."""
