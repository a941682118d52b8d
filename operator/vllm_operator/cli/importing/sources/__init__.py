"""The kinds of sources: each finds what a server is made of, and hands it to `launch/`, `pods/` and `volumes`."""
