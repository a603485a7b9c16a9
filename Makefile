# Targets for working on wippy. `make` alone lists them.

.DEFAULT_GOAL := help
SHELL := /bin/bash

# The one place that says which build tags there are: capture needs SQLite's preupdate hook, and the databases of others
# have full-text indexes and use mathematical functions.
TAGS := sqlite_preupdate_hook sqlite_fts5 sqlite_math_functions

GO      ?= go
GOOS    := $(shell $(GO) env GOOS)
GOARCH  := $(shell $(GO) env GOARCH)
BINARY  := dist/wippy-$(GOOS)-$(GOARCH)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
# The date of the commit, so that the same source gives the same binary.
DATE    ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

# The one place that pins the linter.
LINT_VERSION := 2.15.0
TOOLS        := $(CURDIR)/.tools
# A golangci-lint in PATH is used if it is the pinned version, else one is installed below .tools.
LINT := $(shell p=$$(command -v golangci-lint); \
	if [ -n "$$p" ] && "$$p" version 2>/dev/null | grep -q 'version v\?$(LINT_VERSION) '; then echo "$$p"; \
	else echo '$(TOOLS)/golangci-lint-$(LINT_VERSION)'; fi)

export CGO_ENABLED := 1

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-20s %s\n", $$1, $$2}'

.PHONY: tags
tags: ## Print the build tags, for go commands of your own
	@echo '$(TAGS)'

.PHONY: build-wippy-local
build-wippy-local: ## Build dist/wippy-<os>-<arch> and link dist/wippy to it
	@mkdir -p dist
	$(GO) build -tags '$(TAGS)' -trimpath -ldflags '$(LDFLAGS)' -o $(BINARY) ./cmd/wippy
	@ln -sf $(notdir $(BINARY)) dist/wippy

.PHONY: run
run: build-wippy-local ## Build, then run the quickstart example
	dist/wippy run examples/quickstart

# Says which server the tests use: go test shows the output of a package that passes only with -v.
SAY_SERVER := $(GO) test -count 1 -v -run '^TestTheServer$$' ./internal/pgtest | grep '^pgtest: '

.PHONY: test
test: ## Run all tests with the race detector; installs Postgres and Chromium if they are missing and root can
	@bash .ci/postgres
	@bash .ci/chromium
	@$(SAY_SERVER)
	$(GO) test -timeout 25m -race -tags '$(TAGS)' ./...

# What depends on the version of the server. Of packages that test other things as well, the tests that start one run.
POSTGRES := ./internal/pgtest ./service/cdc/postgres ./service/sql/postgres
MIXED    := ./boot ./lua/modules/sql ./tests
USES     := Postgres|Slot|ASourceWaitsForItsTables|DeletingASourceThatHasFailed
# One package at a time: each has a server of its own.
.PHONY: test-postgres
test-postgres: ## Run the tests of Postgres on all supported versions, or VERSIONS="16 17"; fetches the servers by npm
	@set -e -o pipefail; servers=$$(bash .ci/postgres-versions '$(TOOLS)/postgres' $(VERSIONS)); for dir in $$servers; do \
		export WIPPY_TEST_POSTGRES_BIN=$$dir/bin; unset WIPPY_TEST_POSTGRES_DSN; \
		$(SAY_SERVER); \
		$(GO) test -timeout 40m -race -count 1 -p 1 -tags '$(TAGS)' $(POSTGRES); \
		$(GO) test -timeout 40m -race -count 1 -p 1 -tags '$(TAGS)' -run '$(USES)' $(MIXED); \
	done

# A failure prints the seed and the shortest script that shows it.
DURATION ?= 30m
SEED     ?= 1
DURABLE  ?=
.PHONY: soak
soak: ## Try generated scripts on capture for DURATION, from SEED on; DURABLE=1 with a durable log
	WIPPY_SOAK='$(DURATION)' WIPPY_SOAK_SEED='$(SEED)' WIPPY_SOAK_DURABLE='$(DURABLE)' $(GO) test -tags '$(TAGS)' -count 1 -timeout 0 -v -run '^TestSoak$$' ./service/sql/sqlite

# A statement counts if any test of any package runs it: profiles tell it once for each test binary.
COVERED := NR > 1 { n[$$1] = $$2; if ($$3 > 0) hit[$$1] = 1 } \
	END { for (b in n) { p = b; sub(/\/[^\/]*$$/, "", p); all[p] += n[b]; total += n[b]; if (b in hit) { run[p] += n[b]; sum += n[b] } } \
		for (p in all) printf "%5.1f%%  %s\n", 100 * run[p] / all[p], p; printf "%5.1f%%  total\n", 100 * sum / total > "/dev/stderr" }
.PHONY: cover
cover: ## Run all tests and print what they cover: packages, the least covered first, and the total
	@mkdir -p '$(TOOLS)'
	$(GO) test -timeout 60m -tags '$(TAGS)' -coverpkg ./... -coverprofile '$(TOOLS)/cover.out' ./...
	@awk '$(COVERED)' '$(TOOLS)/cover.out' | sort -n

# Inputs that fail are kept below testdata/fuzz of the package, as files that go test runs from then on.
FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZTIME
	@set -e; grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' . | while IFS=: read -r file function; do \
		name=$${function#func }; echo "$$name in $$(dirname "$$file")"; \
		$(GO) test -tags '$(TAGS)' -run '^$$' -fuzz "^$$name$$" -fuzztime '$(FUZZTIME)' "$$(dirname "$$file")"; \
	done

.PHONY: lint
lint: $(LINT) ## Check style and import rules; installs the pinned linter if it is missing
	$(LINT) run --allow-parallel-runners ./...

# Only the binary below .tools is ever built: one in PATH exists already.
$(TOOLS)/golangci-lint-$(LINT_VERSION):
	GOBIN='$(TOOLS)' $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(LINT_VERSION)
	@mv '$(TOOLS)/golangci-lint' '$@'

.PHONY: bench
bench: ## Measure what capture and streams cost; OUT=file keeps the report, ONLY=B1,B4 selects
	CGO_CFLAGS='-g -O2 -DSQLITE_ENABLE_SESSION' $(GO) run -tags '$(TAGS)' ./tests/bench $(if $(OUT),-out '$(OUT)') $(if $(ONLY),-only '$(ONLY)')

.PHONY: tidy
tidy: $(LINT) ## Tidy go.mod and format all code
	$(GO) mod tidy
	$(LINT) fmt ./...

.PHONY: clean
clean: ## Remove what the other targets have made
	rm -rf dist .tools
