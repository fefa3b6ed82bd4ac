# `make test` says whether it works.

.DEFAULT_GOAL := help
.PHONY: help run test lint fuzz bench build

help: ## Show this page
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run all of it here, with nothing to install (ARGS="--help" tells more)
	@scripts/requirements.sh build
	cargo run -p dev -- $(ARGS)

test: ## Install what is missing on Debian, then check and test everything, with real Kafka and PostgreSQL
	@scripts/test.sh

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
