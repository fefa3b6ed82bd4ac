# `make test` says whether it works.

.DEFAULT_GOAL := help
.PHONY: help run test faults simulate fuzz lint bench build

help: ## Show this page
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run all of it here, with nothing to install (ARGS="--help" tells more)
	@scripts/requirements.sh build
	cargo run -p dev -- $(ARGS)

test: ## Install what is missing on Debian, then check and test everything, with real Kafka and PostgreSQL
	@scripts/test.sh

faults: ## Break it on purpose, in full for days (SCALE=0.01 ROWS=kill,frozen SEED=7 RELEASE=1 ARGS="--help")
	@scripts/requirements.sh test
	@$(if $(RELEASE),RELEASE=1) scripts/faults.sh $(if $(SCALE),--scale $(SCALE)) $(if $(ROWS),--rows $(ROWS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

simulate: ## Live through a million worlds of the engine (SEEDS=1000 FIRST=0), or tell one's story (SEED=7)
	@scripts/requirements.sh build
	@$(if $(SEED),VCC_LINK_SIMULATION_SEED=$(SEED)) $(if $(FIRST),VCC_LINK_SIMULATION_FIRST=$(FIRST)) \
		VCC_LINK_SIMULATION_SEEDS=$(or $(SEEDS),1000000) cargo test --release --test it -- --nocapture simulation::every

lint: ## Check formatting, clippy, shell scripts, and licences and sources of dependencies
	@scripts/lint.sh

fuzz: ## Fuzz events, queries and answers, led by coverage (FUZZ_SECONDS=60 for each of TARGETS="events queries answers")
	@scripts/fuzz.sh

bench: ## Nothing to measure yet
	@scripts/requirements.sh build
	cargo bench --workspace

build: ## Build the release binary, target/release/vcc-link
	@scripts/requirements.sh build
	cargo build --release --bin vcc-link
