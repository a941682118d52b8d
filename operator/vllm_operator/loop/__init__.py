"""When a key is worked on, and how one reconcile goes: read reconcile.py first."""
