"""Replicas over several nodes: the rules between nodesPerReplica and the other fields. What they become: manifests/."""

from .base import rule

MOST_NODES = 16
_GROUP = "has(self.nodesPerReplica) && self.nodesPerReplica > 1"
_ON_CPU = "has(self.accelerator) && has(self.accelerator.resource) && self.accelerator.resource == 'cpu'"

# A size that is left out may come from a ServingClass: then the operator checks it.
NODES_RULE = rule(
    f"!({_GROUP}) || !has(self.tensorParallelSize) || (type(self.tensorParallelSize) == int"
    " && self.tensorParallelSize * (has(self.pipelineParallelSize) ? self.pipelineParallelSize : 1)"
    " % self.nodesPerReplica == 0)",
    "tensorParallelSize times pipelineParallelSize must be a number that nodesPerReplica divides: each node has as "
    "many ranks, and auto chooses on one node only",
)
NODES_DATA_RULE = rule(
    f"!({_GROUP}) || !has(self.dataParallelSize) || self.dataParallelSize == 1",
    "dataParallelSize must be 1 with nodesPerReplica: use replicas",
)
NODES_VOLUME_RULE = rule(
    f"!({_GROUP}) || !has(self.cache) || !has(self.cache.claim)"
    " || (has(self.cache.claim.accessMode) && self.cache.claim.accessMode == 'ReadWriteMany')",
    "nodesPerReplica needs cache.claim.accessMode ReadWriteMany: a ReadWriteOnce volume is for one node only",
)
NODES_EAGER_RULE = rule(
    f"!({_GROUP}) || !({_ON_CPU}) || !has(self.enforceEager) || !self.enforceEager",
    "enforceEager skips the warm-up: over nodes on the CPU the first request would take most of a minute, so leave it "
    "out",
)
GROUP_RULES = (NODES_RULE, NODES_DATA_RULE, NODES_VOLUME_RULE, NODES_EAGER_RULE)
