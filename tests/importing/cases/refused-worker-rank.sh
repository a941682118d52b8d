vllm serve org/model --nnodes 2 --node-rank 1 --headless --master-addr 10.0.0.1 -tp 16
