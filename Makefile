# What can be done here; `make help` lists it. All of it works as root on Debian 12.
SHELL := /bin/bash
PREFIX ?= /usr
DESTDIR ?=
HANDLER ?= crun

.PHONY: help build release demo bench soak fuzz model test deny test-lint test-unit test-integration test-vm crictl critest kubelet cluster install install-files deps clean

help:               ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

build:              ## debug build of the daemon and the shim
	scripts/test.sh build

release:            ## optimised build
	cargo build --release --package peapod
	cargo build-shim

demo:               ## a pod from a Kubernetes manifest, from nothing to its end (installs what is missing; DEMO_PUBLIC=1)
	scripts/install.sh demo
	scripts/demo.sh

bench:              ## peapod beside containerd: times, throughput, memory, recovery (QUICK=1, HANDLER=crun|runc)
	scripts/install.sh test
	scripts/bench.sh

soak:               ## load and endurance: 100 pods, 50 loops, 100 000 commands (half an hour; ARGS=--help, HANDLER=crun|runc)
	scripts/install.sh test
	scripts/soak.sh

fuzz:               ## property tests of all parsers, side by side (SECONDS=60 for each; ONLY=words)
	scripts/install.sh test
	scripts/fuzz.sh $(or $(SECONDS),60)

model:              ## a pod's rules of life against a simulated world (CASES=1000000 lives, in an optimised build)
	PEAPOD_MODEL_CASES=$(or $(CASES),100000) cargo test --release --package peapod-pod --lib -- machine::model

test:               ## everything; ends with "N passed, N failed"
	scripts/install.sh test
	scripts/test.sh

test-lint:          ## formatting and clippy
	scripts/test.sh lint

deny:               ## licences and duplicates of all dependencies (installs cargo-deny, once, if it is missing)
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	scripts/test.sh deny

test-unit:          ## the crates' own tests
	scripts/test.sh build unit

test-integration:   ## the real daemon, shim, runtimes, registry and network (ONLY=words: tests whose name has them)
	scripts/test.sh build integration

crictl:             ## a pod by hand
	scripts/test.sh build crictl

critest:            ## the conformance suite (HANDLER=crun|runc, FOCUS=regex)
	HANDLERS=$(HANDLER) scripts/test.sh build critest

kubelet:            ## a stock kubelet runs a static pod
	scripts/test.sh build kubelet

cluster:            ## Kubernetes by kubectl: a control plane and two nodes, workloads, a node's death (CHECKS=words)
	scripts/test.sh build cluster

test-vm:            ## the same under systemd and cgroup v2, in a virtual machine (ONLY=words, DRIVERS=cgroupfs|systemd)
	scripts/install.sh test
	scripts/test.sh build vm-full $(if $(ONLY),,vm-critest vm-kubelet)

install: release install-files  ## puts the programs and a systemd unit under $(DESTDIR)$(PREFIX)

# What is built already.
install-files: PEAPOD_BIN ?= target/release/peapod
# Prints completions and manual pages: the same, but where that is for another kind of machine.
install-files: PEAPOD_RUN ?= $(PEAPOD_BIN)
install-files: PEAPOD_SHIM ?= target/shim/containerd-shim-peapod-v1
install-files:
	install -D -m 755 $(PEAPOD_BIN) $(DESTDIR)$(PREFIX)/bin/peapod
	install -D -m 755 $(PEAPOD_SHIM) $(DESTDIR)$(PREFIX)/libexec/peapod/containerd-shim-peapod-v1
	install -D -m 644 packaging/config.toml $(DESTDIR)/etc/peapod/config.toml.example
	install -D -m 644 packaging/crictl.yaml $(DESTDIR)/etc/peapod/crictl.yaml
	install -D -m 644 packaging/alerts.yaml $(DESTDIR)$(PREFIX)/share/peapod/alerts.yaml
	install -D -m 644 packaging/grafana.json $(DESTDIR)$(PREFIX)/share/peapod/grafana.json
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/peapod/node-problem-detector packaging/node-problem-detector/*.json
	install -D -m 644 packaging/peapod.service $(DESTDIR)$(PREFIX)/lib/systemd/system/peapod.service
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	$(PEAPOD_RUN) completions bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/peapod
	$(PEAPOD_RUN) completions zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_peapod
	$(PEAPOD_RUN) completions fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/peapod.fish
	$(PEAPOD_RUN) man $(DESTDIR)$(PREFIX)/share/man/man1
	sed -i 's|/usr/bin/|$(PREFIX)/bin/|' $(DESTDIR)$(PREFIX)/lib/systemd/system/peapod.service

deps:               ## what demo and tests need from Debian
	scripts/install.sh test

clean:              ## everything that was built
	rm -rf target
