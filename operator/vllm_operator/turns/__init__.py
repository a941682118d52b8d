"""Turns: between namespaces, so that many of one do not delay the one of another."""
