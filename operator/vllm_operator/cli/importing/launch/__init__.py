"""A command line of vLLM: how a shell would read it, which flags it has, and which fields those are."""
