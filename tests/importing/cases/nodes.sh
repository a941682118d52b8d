vllm serve org/model --nnodes 2 --node-rank 0 --master-addr 10.0.0.1 -tp 8 -pp 2 --distributed-executor-backend ray
