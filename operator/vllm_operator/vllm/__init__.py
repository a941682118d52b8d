"""All that knows vLLM: its argv and environment, and our middleware inside its server."""
