"""Which children need an apply or a delete, and doing it."""
