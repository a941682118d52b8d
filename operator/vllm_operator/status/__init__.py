"""What is said of a service: evidence in, conditions and figures out. Pure."""
