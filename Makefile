# Everything that people and machines call. `make help` lists the targets.
#
# No target needs more than Go, a C compiler, Node.js' npm and Python 3; what
# else is needed is fetched from the registries that these are set up with.

SHELL := /bin/sh
GOARCH := $(shell go env GOARCH)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
RUNTIME := artifacts/onnxruntime/linux-$(GOARCH)/libonnxruntime.so.1
LDFLAGS := -s -w -X github.com/brainseg/brainseg/internal/cli.Version=$(VERSION)
SAMPLE ?= artifacts/samples/whole-head/axial-085.png

# Tests find the library by themselves; programs in bin/ find it beside them.
REQUIREMENTS := internal/nucleus/testdata/sdk/requirements.txt internal/imagestore/testdata/requirements.txt

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: build
build: bin/brainseg ## build bin/brainseg

.PHONY: bin/brainseg
bin/brainseg: bin/libonnxruntime.so.1
	go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./component

bin/libonnxruntime.so.1: $(RUNTIME)
	@mkdir -p bin
	cp $(RUNTIME) $@

$(RUNTIME): artifacts/onnxruntime/fetch.sh
	artifacts/onnxruntime/fetch.sh linux-$(GOARCH)
	@touch $@

.PHONY: run
run: bin/brainseg ## segment a sample slice over Greengrass IPC, on a local nucleus
	bin/brainseg local --images artifacts/samples --out out -- bin/brainseg request --overlay $(SAMPLE)

.PHONY: serve
serve: bin/brainseg ## run the component on a local nucleus until Ctrl-C
	bin/brainseg local --images artifacts/samples --out out

.PHONY: test
test: $(RUNTIME) venv ## all tests, with the race detector
	go test -race -timeout 9m ./...

# The official SDK and the S3 server that the tests use.
.PHONY: venv
venv: .venv/installed
.venv/installed: $(REQUIREMENTS)
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check $(addprefix -r ,$(REQUIREMENTS))
	@touch $@

.PHONY: lint
lint: ## formatting, vet and staticcheck
	@unformatted=$$(git ls-files '*.go' | grep -v '\.pb\.go$$' | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "gofmt is needed on:"; echo "$$unformatted"; exit 1; fi
	go mod tidy -diff
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

# Each fuzz target for FUZZTIME: make fuzz FUZZTIME=10m
FUZZTIME ?= 60s
.PHONY: fuzz
fuzz: $(RUNTIME) ## run every fuzz target for FUZZTIME (default 60s)
	@grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$dir/*_test.go); do \
			echo "== $$dir $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir || exit 1; \
		done; done

.PHONY: bench
bench: bin/brainseg ## compare with C, Node and Python in one interleaved run (minutes)
	internal/benchmark/run.sh

.PHONY: clean
clean: ## remove what was built; keeps what was fetched
	rm -rf bin out dist greengrass-build internal/benchmark/.build
