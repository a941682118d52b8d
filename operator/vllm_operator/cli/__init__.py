"""What a person runs, with or without a cluster."""
