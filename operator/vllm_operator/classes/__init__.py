"""ServingClass: whether it can be used, told in its own status. What it does to services is decided in assess/."""
