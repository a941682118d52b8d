"""The values that the watches' bodies are turned into. Pure."""
