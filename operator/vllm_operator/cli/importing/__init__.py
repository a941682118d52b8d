"""`kubectl vllm import`: InferenceServices from what serves with vLLM today, and where each part of it went.

`command` reads the options; `sources/` knows the kinds of sources; `launch/` a command line of vLLM; `pods/` what
Kubernetes says of a pod. All of them write into a `Draft`, which takes what the API takes, and into the `Report`.
Nothing that is read is ever run, and no value of a Secret is printed.
"""
