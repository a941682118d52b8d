"""The process from start to end, and when a key is worked on: read operator.py first."""
