"""`make demo`: a cluster, the operator, a model and an answer, in five steps; `make demo-down` removes them again."""
