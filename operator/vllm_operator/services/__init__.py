"""InferenceService: read reconcile.py first."""
