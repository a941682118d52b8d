# `make demo` and `make test` set themselves up: they need Python 3.11, Go and a network that reaches the package registries.
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
SBOM_VERSION := 7.5.0
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := tests:operator

# The Python that has vLLM, on a machine with NVIDIA GPUs; ROWS: where measured engines are added;
# TENSOR_PARALLEL: GPUs of each of the two replicas.
GPU_PYTHON ?= python3
ROWS ?= build/gpu/engines.jsonl
TENSOR_PARALLEL ?= 1

.PHONY: bench-batch gpu-check gpu-engines gpu-serving gpu-failures gpu-whole help setup test test-fast lint demo demo-down bench bench-scale bench-plan bench-speed bench-rollout bench-ray bench-groups bench-queues bench-images bench-shards bench-autoscaling bench-hostile bench-slow generated crd docs engine-flags dashboards lock digests fuzz kills release

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(VENV)/.installed  ## Make the virtual environment with pinned packages

$(VENV)/.installed: requirements/dev.txt requirements/uv.txt pyproject.toml Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python --no-config requirements/dev.txt requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-config --offline --no-deps --no-build-isolation -e .
	touch $@

PIN := $(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --no-annotate --generate-hashes

lock:  ## Pin again what pyproject.toml asks for, each file of a package by its hash
	$(PIN) --upgrade pyproject.toml -o requirements/operator.txt
	$(PIN) --extra clients --extra test -c requirements/operator.txt pyproject.toml -o requirements/dev.txt
	echo "uv==$(UV_VERSION)" | $(PIN) - -o requirements/uv.txt
	echo "cyclonedx-bom==$(SBOM_VERSION)" | $(PIN) --python-version 3.11 - -o requirements/sbom.txt

digests: setup  ## Pin what images are built from by the digests that registries answer with
	$(BIN)/python -m cluster.digests

lint: setup  ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-fast: setup lint  ## What needs no node, and does not wait for an operator to act
	$(BIN)/pytest -m "not e2e and not slow" --numprocesses=2 --dist=loadscope --no-loadscope-reorder --durations=10

test: setup lint  ## All tests; sets up the cluster and the images itself
	$(BIN)/python -m cluster prepare operator vllm-cpu
	$(BIN)/pytest --numprocesses=2 --dist=loadscope --no-loadscope-reorder --durations=30

fuzz: setup  ## Inputs that anybody may write, for three minutes a target
	FUZZ_SECONDS=180 $(BIN)/pytest tests/fuzz --numprocesses=2

kills: setup  ## The operator killed at 20 moments while it works, with no service lost or rolled twice
	KILLS=20 $(BIN)/pytest tests/control_plane/faults/test_kills.py

demo: setup  ## A cluster, the operator, a model, an answer
	$(BIN)/python -m cluster.demo up

demo-down: setup  ## Remove what `make demo` started
	$(BIN)/python -m cluster.demo down

release: setup  ## Images, chart, CRDs, kubectl plugin: REGISTRY=registry.example.com/team VERSION=1.2.3 [URL=https://... IMAGES="operator vllm-cpu vllm vllm-ray"]
	$(BIN)/python -m release --registry "$(REGISTRY)" --version "$(VERSION)" --url "$(URL)" $(if $(IMAGES),--images $(IMAGES))

N ?= 300
RUNS ?= 1
PROFILES ?= vllm-operator
bench: setup  ## N=300 services at once, a change of all, repair, restart, silence, beside a bare client, and PROFILES of others: table and raw data in build/bench
	$(BIN)/python -m bench.scale --services $(N) --runs $(RUNS) --silence 120 --profiles $(PROFILES)

bench-scale: setup  ## The same with 300 services and 10 min of silence (20 min)
	$(BIN)/python -m bench.scale

bench-shards: setup  ## N services in 20 namespaces, which two operators share out, one of them killed: table in build/bench-shards
	$(BIN)/python -m bench.shards --services $(N)

bench-plan: setup  ## The memory planner, and KAITO's formula, against engines that really ran: table and plot
	$(BIN)/python -m bench.plan --plot build/bench-plan.svg

bench-speed: setup  ## The estimates of tokens/s against engines that were measured, each held out of the factors
	$(BIN)/python -m bench.speed

bench-groups: setup  ## A replica over two real nodes with the real vLLM: started, a rank lost, rolled, deleted
	$(BIN)/python -m bench.groups

bench-ray: setup  ## A service on Ray Serve, with KubeRay, the real Ray and vLLM: started, changed, scaled, failed, replaced, deleted (needs root)
	$(BIN)/python -m bench.ray

bench-rollout: setup  ## Requests while pods are rolled, evicted, drained and scaled away, with the real vLLM: none may fail
	$(BIN)/python -m bench.rollout

bench-hostile: setup  ## An honest team's edits while another attacks: p99 of 500 (15 min)
	$(BIN)/python -m bench.hostile

bench-slow: setup  ## An edit of one service, while the model servers of N others take connections and say nothing
	$(BIN)/python -m bench.slow --services $(N)

bench-batch: setup  ## The program in a batch's pods against LLM.generate, under 20 kills, and its memory (30 min)
	$(BIN)/python -m bench.batch

bench-queues: setup  ## Batches and groups in a queue of Kueue's own controller: who waits is told, and goes on (needs root)
	$(BIN)/python -m bench.queues

bench-images: setup  ## Models in images (oci://), with the containerd of Debian and with 2.4: mounted, and refused in words (needs root)
	$(BIN)/python -m bench.images

bench-autoscaling: setup  ## The autoscaling policy against the HPA's defaults, on the HPA's own algorithm: table and plot
	$(BIN)/python -m bench.autoscaling --plot build/bench-autoscaling.svg

gpu-check:  ## On a machine with GPUs and vLLM: engines, serving, failures, a cluster (docs/gpu-check.md; 2 h on one GPU)
	@failed=; for part in gpu-engines gpu-serving gpu-failures gpu-whole; do $(MAKE) --no-print-directory $$part || failed="$$failed $$part"; done; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

gpu-engines:  ## Engines with random weights: what they took of the GPU beside what is planned
	mkdir -p $(dir $(ROWS))
	$(GPU_PYTHON) -m gpu.engines --output $(ROWS)

gpu-serving:  ## Two replicas as the operator runs them, of TENSOR_PARALLEL GPUs each: clients, saturation, drain, hang (needs root)
	$(GPU_PYTHON) -m gpu.serving --tensor-parallel $(TENSOR_PARALLEL)

gpu-whole: setup  ## A cluster on this machine with its GPUs: device plugin, the operator by its chart, services (needs root; 10 min)
	$(BIN)/python -m gpu.whole --vllm-python $(GPU_PYTHON)

gpu-failures:  ## Real failures on a GPU, and whether the diagnosis names them
	$(GPU_PYTHON) -m gpu.failures

generated: crd docs dashboards  ## Write all files that are made from others: run it before a commit

crd: setup  ## Write crds/ and the chart's CRDs from api/, and the chart's rules of RBAC from resources.py
	for plural in inferenceservices servingclasses inferencebatches; do $(BIN)/python -m vllm_operator crd $$plural > crds/$$plural.yaml || exit; done
	cp crds/*.yaml charts/vllm-operator/files/
	$(BIN)/python -m vllm_operator rbac > charts/vllm-operator/files/rbac.yaml

docs: setup  ## Write docs/reasons.md, docs/flags.md and the tables of conditions and load formats from the registries in api/
	$(BIN)/python -m documents.conditions
	$(BIN)/python -m documents.flags
	$(BIN)/python -m documents.load_formats
	$(BIN)/python -m documents.ray

engine-flags: setup  ## Write what the pinned vLLM's parser knows of its flags to api/flags/vllm.json (installs vLLM)
	$(BIN)/python -m documents.engine_flags

dashboards: setup  ## Write the chart's Grafana dashboards from tests/monitoring/dashboards.py
	$(BIN)/python -m monitoring.dashboards
