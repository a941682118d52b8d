"""`vllm-operator transfer`: copies the input and output of a batch from and to buckets, in containers of its pods.

The program that answers (vllm/batch/) knows folders alone, and vLLM's images have no client of S3. So `fetch` runs
before it and `push` beside it, from the operator's image; vLLM's container gets no keys, and nothing that it
writes leads to them.
"""
