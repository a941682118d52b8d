module vllm-operator.dev/tests/cluster/pause

go 1.26
