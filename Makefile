# What one does with this checkout. "make" or "make help" lists it.
# The Go toolchain is all that is needed; "kafka" and "test-kafka" also need Java and Maven.

GO       ?= go
FUZZTIME ?= 20s
EVENTS   ?= 20000
SEEDS    ?= 20
BENCH    ?= .
COUNT    ?= 1
SCENARIO ?= steady
MINUTES  ?= 10

SHELL         := bash
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: FUZZTIME=$(FUZZTIME) EVENTS=$(EVENTS) SEEDS=$(SEEDS) BENCH=$(BENCH) COUNT=$(COUNT) SCENARIO=$(SCENARIO) MINUTES=$(MINUTES)"

.PHONY: build
build: ## build ./pushd, static and without paths of this machine
	CGO_ENABLED=0 $(GO) build -trimpath -o pushd ./cmd/pushd

.PHONY: test
test: ## run the tests
	$(GO) test ./...

.PHONY: race
race: ## run the tests with the race detector (needs a C compiler)
	$(GO) test -race -short -timeout 30m ./...

.PHONY: fmt
fmt: ## name the files that are not formatted; none is right
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted, run gofmt -w on:"; echo "$$files"; exit 1; }

.PHONY: vet
vet: ## run go vet
	$(GO) vet ./...

.PHONY: staticcheck
staticcheck: ## run staticcheck, in the version of go.mod
	$(GO) tool staticcheck ./...

.PHONY: imports
imports: ## check who may import whom
	$(GO) test -count=1 -run 'Import' ./cmd/pushd

.PHONY: check
check: fmt vet staticcheck imports race ## all that a commit has to pass

.PHONY: golden
golden: ## write docs/configuration.md, the JSON Schemas of the files and the golden files of the command line anew
	$(GO) test -count=1 ./cmd/pushd -update

.PHONY: fuzz
fuzz: ## run every fuzz target of the tree for FUZZTIME
	@GO="$(GO)" .ci/fuzz $(FUZZTIME)

.PHONY: crash
crash: ## the long forms of the ledger's crash tests: every file operation fails once, ten times as many crashes and damages
	PUSHD_TEST_WHOLE=1 $(GO) test -count=1 -timeout 30m -v -run 'Crash|MayFail|Damage' ./store

.PHONY: vuln
vuln: ## look for known vulnerabilities in what is linked (govulncheck; skipped, and said so, where its database is out of reach)
	@out=$$($(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./cmd/pushd 2>&1); code=$$?; echo "$$out"; \
	case "$$code,$$out" in \
		0,*) ;; \
		*"fetching vulnerabilities:"*|*"go: golang.org/x/vuln"*) echo "skipped: govulncheck or its database cannot be had here" ;; \
		*) exit 1 ;; \
	esac

.PHONY: reproducible
reproducible: ## verify the modules, build twice from nothing in two places, and compare
	@set -e; $(GO) mod verify; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	for place in one another/place; do \
		mkdir -p $$dir/$$place/source; git ls-files -z | xargs -0 cp --parents -t $$dir/$$place/source; \
		(cd $$dir/$$place/source && CGO_ENABLED=0 GOCACHE=$$dir/$$place/cache $(GO) build -trimpath -o $$dir/$$place/pushd ./cmd/pushd); \
		sha256sum < $$dir/$$place/pushd; \
	done; \
	cmp $$dir/one/pushd $$dir/another/place/pushd && echo "both are the same"

.PHONY: kafka
kafka: ## start a real Kafka broker for development (Java and Maven; Ctrl-C ends it)
	$(GO) run ./queue/kafkatest/kafka

.PHONY: test-kafka
test-kafka: ## run the suites against a real Apache Kafka, which is started (Java and Maven)
	$(GO) test -tags kafka -count=1 ./queue/... ./cmd/pushd

.PHONY: demo
demo: ## the whole of it in one process: broker, providers and EVENTS events
	$(GO) run ./cmd/pushd demo --events $(EVENTS)

.PHONY: demo-seeds
demo-seeds: build ## the demo with EVENTS events for each seed from 1 to SEEDS; fails if one loses an event
	@set -o pipefail; for seed in $$(seq $(SEEDS)); do \
		printf 'seed %s: ' $$seed; \
		./pushd demo --events $(EVENTS) --seed $$seed --json | tr -d '\n ' || exit 1; \
		echo; \
	done

.PHONY: simulate
simulate: ## the engine in SEEDS simulated histories (20000), and its mutants, or MUTANT alone; with SEED=n the history of that seed
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $(GO) build -o "$$dir/simulate" ./dispatcher/simulation && \
		"$$dir/simulate" $(if $(SEED),-seed $(SEED),-seeds $(if $(filter command,$(origin SEEDS)),$(SEEDS),20000)) $(if $(MUTANT),-mutant $(MUTANT))

.PHONY: load
load: ## the daemon as a process under the load of SCENARIO ("go run ./loadtest --list" shows them)
	$(GO) run ./loadtest --scenario $(SCENARIO)

.PHONY: torture
torture: ## kill, freeze, cut off and soak real daemons against Apache Kafka (Java, Maven; 40 minutes, of which MINUTES of soak)
	$(GO) run ./loadtest/torture --minutes $(MINUTES)

.PHONY: bench
bench: ## how fast each part is and against what, as bench/results/<date>.md ("go run ./bench --help"; docs/performance.md)
	@mkdir -p bench/results
	$(GO) run ./bench --out bench/results/$$(date -u +%F).md

.PHONY: benchmarks
benchmarks: ## run the Go benchmarks that match BENCH, COUNT times (10 for benchstat)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./...

.PHONY: ci
ci: ## what the continuous integration does; prints "N passed, N failed"
	.ci/run
