# The few names a newcomer needs. `make demo`, `make cluster`, `make test` and `make bench` install what they miss, where
# they may; the others say which command is missing.

TARGET := x86_64-unknown-linux-musl
RELEASE := $(or $(CARGO_TARGET_DIR),target)/$(TARGET)/release
# The C in SQLite is compiled against musl: musl-tools. Namespaces: iproute2, util-linux. ping: busybox-static.
# etcd's client is generated when it is built: libprotobuf-dev protobuf-compiler. portmap, which a test calls: iptables.
PACKAGES := busybox-static gcc iproute2 iptables libc6-dev musl-tools libprotobuf-dev protobuf-compiler util-linux
EXECUTABLES := calico calico-ipam calicoctl calico-install
CARGO_DENY := 0.20.2
CARGO_FUZZ := 0.13.2

# The servers that tests run against are built once, into a cache that all checkouts share. e2e/src/servers.rs finds
# them by the same rule.
E2E_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/calico-e2e
export E2E_CACHE
# $(call version,FOLDER,MODULE): the version that the go.mod in a folder requires.
version = $(shell awk '$$1 == "$(2)" && NF > 1 { sub("v", "", $$2); print $$2 }' $(1)/go.mod)
ETCD := $(E2E_CACHE)/etcd-$(call version,e2e/tools,go.etcd.io/etcd/server/v3)
CNITOOL := $(E2E_CACHE)/cnitool-$(call version,e2e/tools,github.com/containernetworking/cni)
ETCD_DEBIAN := $(E2E_CACHE)/etcd-3.4-debian
CNI_PLUGINS := $(E2E_CACHE)/cni-plugins-$(call version,e2e/tools/plugins,github.com/containernetworking/plugins)
CNI_PLUGINS_DEBIAN := $(E2E_CACHE)/cni-plugins-1.1.1-debian
CONTAINERD := $(E2E_CACHE)/containerd-$(call version,e2e/tools/containerd,github.com/containerd/containerd/v2)
CONTAINERD_DEBIAN := $(E2E_CACHE)/containerd-1.6-debian
RUNC_DEBIAN := $(E2E_CACHE)/runc-1.1-debian
PODMAN_DEBIAN := $(E2E_CACHE)/podman-4.3-debian
KUBERNETES := $(E2E_CACHE)/kubernetes-$(call version,e2e/kubernetes,k8s.io/kubernetes)
# A program of our own has no version: the sum of what it is made of.
NETWORKS := $(E2E_CACHE)/networks-$(shell cd e2e/tools/plugins && cat go.mod go.sum networks/main.go | sha256sum | cut -c1-12)

# Where demo keeps its objects: local or etcd.
DATASTORE ?= local
# What bench measures, and on which datastores; N calls one at a time.
PLUGINS ?= bin
DATASTORES ?= etcd kubernetes local kubelet calicoctl
N ?= 100
# How long fuzz tries each target, and with which random inputs.
SECONDS ?= 20
FUZZ_SEED ?= 20261123
FUZZ := $(or $(CARGO_TARGET_DIR),target)/fuzz
FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

# deps before what needs it, also with -j.
.NOTPARALLEL:
.PHONY: help build image manifests docs demo kubelet-demo cluster test bench servers lint fuzz deps deps-lint deps-fuzz
.PHONY: check-datastore check-rust check-build check-root check-lint check-fuzz

help:
	@echo 'make demo       networks two containers in a network namespace of its own, and cleans up; also DATASTORE=etcd (root)'
	@echo 'make kubelet-demo  installs the plugin on a node with a real kubelet and runs pods there, and cleans up; HOLD=1 waits before (root)'
	@echo 'make cluster    runs a Kubernetes control plane to play with, in namespaces of its own, until Ctrl-C (root)'
	@echo 'make test       runs all tests (root)'
	@echo 'make bench      times ADD and DEL; PLUGINS="bin /opt/cni/bin" compares folders of plugins (root)'
	@echo 'make build      leaves the static executables in bin/'
	@echo 'make image      leaves the image that installs them on nodes in bin/, as an OCI archive (Go)'
	@echo 'make manifests  makes the plain files in manifests/ of the overlays there'
	@echo 'make docs       makes docs/calicoctl.md of the definitions of its commands'
	@echo 'make servers    builds what test runs against, once, in $(E2E_CACHE) (Debian, Go)'
	@echo 'make lint       rustfmt, clippy, rustdoc, licences'
	@echo 'make fuzz       throws random inputs at what reads stored data, $(SECONDS) s for each of: $(FUZZ_TARGETS); also SECONDS=600'
	@echo 'make deps       installs what build, demo, cluster, test and bench need (Debian, root)'
	@echo 'make deps-lint  builds cargo-deny, which only lint needs'
	@echo 'make deps-fuzz  builds cargo-fuzz and installs g++ (Debian, root), which only fuzz needs'

## What is installed ------------------------------------------------------------------------------------------------

# The only targets that install anything. They start no service.
deps: check-rust
	@[ "$$(id -u)" = 0 ] || { echo 'deps installs Debian packages: run it as root'; exit 1; }
	@missing=$$(dpkg-query -W -f '$${Package} $${db:Status-Abbrev}\n' $(PACKAGES) 2>/dev/null | \
	    awk -v all='$(PACKAGES)' '$$2 == "ii" { have[$$1] } \
	        END { n = split(all, names, " "); for (i = 1; i <= n; i++) if (!(names[i] in have)) print names[i] }'); \
	if [ -n "$$missing" ]; then \
	    echo "deps: installing the Debian packages" $$missing; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi
	@rustup target list --installed 2>/dev/null | grep -qx $(TARGET) || \
	    { echo 'deps: installing the Rust toolchain and target of rust-toolchain.toml'; \
	      rustup toolchain install --no-self-update && rustup target add $(TARGET); }

deps-lint: check-rust
	@cargo deny --version 2>/dev/null | grep -qF ' $(CARGO_DENY)' || \
	    { echo 'deps-lint: building cargo-deny $(CARGO_DENY)'; cargo install --quiet --locked cargo-deny@$(CARGO_DENY); }

deps-fuzz: check-rust
	@command -v c++ >/dev/null || { \
	    [ "$$(id -u)" = 0 ] || { echo 'deps-fuzz installs the Debian package g++: run it as root'; exit 1; }; \
	    echo 'deps-fuzz: installing the Debian package g++'; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++; }
	@cargo fuzz --version 2>/dev/null | grep -qF ' $(CARGO_FUZZ)' || \
	    { echo 'deps-fuzz: building cargo-fuzz $(CARGO_FUZZ)'; cargo install --quiet --locked cargo-fuzz@$(CARGO_FUZZ); }

# demo, cluster, test and bench are one command on a fresh machine: they install for themselves where that is possible.
ifeq ($(shell id -u)$(shell command -v apt-get >/dev/null && echo apt),0apt)
AUTO_DEPS := deps
endif

check-rust:
	@command -v cargo >/dev/null && command -v rustup >/dev/null || \
	    { echo 'Rust is missing: install it with rustup (https://rustup.rs)'; exit 1; }

check-build: check-rust
	@rustup target list --installed 2>/dev/null | grep -qx $(TARGET) || \
	    { echo 'the Rust toolchain or target is missing: rustup toolchain install   (or, as root: make deps)'; exit 1; }
	@command -v musl-gcc >/dev/null || \
	    { echo 'musl-gcc is missing: apt-get install musl-tools   (or, as root: make deps)'; exit 1; }
	@command -v protoc >/dev/null || \
	    { echo 'protoc is missing: apt-get install libprotobuf-dev protobuf-compiler   (or, as root: make deps)'; exit 1; }

check-root:
	@[ "$$(id -u)" = 0 ] || { echo 'network namespaces need root: run this as root'; exit 1; }
	@for c in ip unshare nsenter busybox; do command -v $$c >/dev/null || \
	    { echo "$$c is missing: apt-get install $(PACKAGES)   (or, as root: make deps)"; exit 1; }; done

check-lint: check-rust
	@cargo deny --version >/dev/null 2>&1 || \
	    { echo 'cargo-deny is missing: cargo install --locked cargo-deny@$(CARGO_DENY)   (or: make deps-lint)'; exit 1; }

check-fuzz: check-rust
	@command -v c++ >/dev/null || { echo 'c++ is missing: apt-get install g++   (or, as root: make deps-fuzz)'; exit 1; }
	@cargo fuzz --version >/dev/null 2>&1 || \
	    { echo 'cargo-fuzz is missing: cargo install --locked cargo-fuzz@$(CARGO_FUZZ)   (or: make deps-fuzz)'; exit 1; }

## What tests run against -------------------------------------------------------------------------------------------

servers: $(ETCD) $(CNITOOL) $(ETCD_DEBIAN) $(CNI_PLUGINS) $(CNI_PLUGINS_DEBIAN) $(NETWORKS) \
    $(CONTAINERD) $(CONTAINERD_DEBIAN) $(RUNC_DEBIAN) $(PODMAN_DEBIAN) $(KUBERNETES)

# Every folder appears complete or not at all, also where two checkouts build it at the same time: it is filled under
# another name. $(call fill,COMMANDS): runs them with $$new, the folder to fill.
define fill
@mkdir -p $(E2E_CACHE)
@set -eu; new=$$(mktemp -d $(E2E_CACHE)/.new-XXXXXX); trap 'rm -rf "$$new"' EXIT; trap 'exit 1' INT TERM HUP; \
	chmod 755 "$$new"; $(1); \
	mv -T "$$new" $@ 2>/dev/null || [ -d $@ ]
endef

# $(call go_build,FOLDER,PACKAGE): in the folder of a go.mod. The executable is called NAME, where that is given as a
# third argument, else like the package.
go_build = (cd $(1) && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$$new/$(or $(3),$(notdir $(2)))" $(2))
# $(call go_tools,FOLDER,LINKER FLAGS): everything that the go.mod in a folder lists as tools.
go_tools = (cd $(1) && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w $(2)' -o "$$new/" tool)
# $(call check_go,FOLDER)
check_go = (cd $(1) && go list -m) >/dev/null 2>&1 || { echo "Go is missing or too old: install \
	$$(awk '$$1 == "go" { print $$2 }' $(1)/go.mod) or later (https://go.dev/dl)"; exit 1; }

# $(call unpack,PACKAGE,VERSION,FILES): files of a Debian package that is not installed, as that would start its
# service.
unpack = echo 'servers: unpacking the Debian package $(1) $(2)'; \
	command -v apt-get >/dev/null || { echo 'apt-get is missing: this needs Debian or a relative of it'; exit 1; }; \
	cd "$$new"; get='apt-get download -qq -o APT::Sandbox::User=root $(1)'; \
	$$get 2>/dev/null || { apt-get update -qq; $$get; }; \
	case $$(dpkg-deb -f $(1)_*.deb Version) in $(2)*) ;; \
	    *) echo 'the release of $(1) here is' $(1)_*.deb 'and not $(2): this needs Debian 12'; exit 1;; esac; \
	dpkg-deb -x $(1)_*.deb package; mv package/$(3) .; rm -r package $(1)_*.deb; cd /

$(ETCD):
	@$(call check_go,e2e/tools)
	@echo 'servers: building $(notdir $@), about a minute'
	$(call fill,$(call go_build,e2e/tools,go.etcd.io/etcd/server/v3,etcd); \
	    $(call go_build,e2e/tools,go.etcd.io/etcd/etcdctl/v3,etcdctl))

$(CNITOOL):
	@$(call check_go,e2e/tools)
	@echo 'servers: building $(notdir $@)'
	$(call fill,$(call go_build,e2e/tools,github.com/containernetworking/cni/cnitool))

$(CNI_PLUGINS):
	@$(call check_go,e2e/tools/plugins)
	@echo 'servers: building $(notdir $@)'
	$(call fill,$(call go_tools,e2e/tools/plugins))

$(ETCD_DEBIAN):
	$(call fill,$(call unpack,etcd-server,3.4,usr/bin/*))

$(CNI_PLUGINS_DEBIAN):
	$(call fill,$(call unpack,containernetworking-plugins,1.1.1,usr/lib/cni/*))

$(NETWORKS):
	@$(call check_go,e2e/tools/plugins)
	@echo 'servers: building $(notdir $@)'
	$(call fill,$(call go_build,e2e/tools/plugins,./networks))

$(CONTAINERD):
	@$(call check_go,e2e/tools/containerd)
	@echo 'servers: building $(notdir $@), about two minutes'
	$(call fill,$(call go_tools,e2e/tools/containerd))

# Without these every component says that it is of version 0.0.0, and refuses to work with the others.
# $(call kubernetes_version,MAJOR MINOR PATCH)
kubernetes_version = $(foreach package,component-base/version client-go/pkg/version, \
    -X k8s.io/$(package).gitMajor=$(word 1,$(1)) -X k8s.io/$(package).gitMinor=$(word 2,$(1)) \
    -X k8s.io/$(package).gitVersion=v$(word 1,$(1)).$(word 2,$(1)).$(word 3,$(1)))

$(KUBERNETES):
	@$(call check_go,e2e/kubernetes)
	@echo 'servers: building $(notdir $@), about ten minutes'
	$(call fill,$(call go_tools,e2e/kubernetes,$(call \
	    kubernetes_version,$(subst ., ,$(call version,e2e/kubernetes,k8s.io/kubernetes)))))

$(CONTAINERD_DEBIAN):
	$(call fill,$(call unpack,containerd,1.6,usr/bin/*))

$(RUNC_DEBIAN):
	$(call fill,$(call unpack,runc,1.1,usr/sbin/*))

# With the libraries of both that not every Debian has.
$(PODMAN_DEBIAN):
	$(call fill,$(call unpack,podman,4.3,usr/bin/*); \
	    $(call unpack,conmon,2.1,usr/bin/*); \
	    $(call unpack,libgpgme11,1.18,usr/lib/*/*.so.*); \
	    $(call unpack,libassuan0,2.5,usr/lib/*/*.so.*); \
	    $(call unpack,libsubid4,1:4.13,usr/lib/*/*.so.*); \
	    $(call unpack,libdevmapper1.02.1,2:1.02,lib/*/*.so.*); \
	    $(call unpack,libglib2.0-0,2.74,usr/lib/*/*.so.*))

## What is made -----------------------------------------------------------------------------------------------------

# The same sources make the same files, wherever they, what is made of them, and cargo's files are: none is named.
HERE_NOT_NAMED := --config "target.$(TARGET).rustflags=['--remap-path-prefix=$(CURDIR)=/build', \
    '--remap-path-prefix=$(abspath $(or $(CARGO_TARGET_DIR),target))=/build/target', \
    '--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo']"

# The files appear complete or not at all: a call that runs one meanwhile keeps the old.
build: check-build
	cargo build $(HERE_NOT_NAMED) --release --locked --target $(TARGET) -p calico-cni -p calico-ipam -p calicoctl -p calico-install
	@mkdir -p bin
	@for name in $(EXECUTABLES); do cp $(RELEASE)/$$name bin/.$$name.new && mv bin/.$$name.new bin/$$name; done
	@ls -l $(addprefix bin/,$(EXECUTABLES))

# Without a Docker daemon; also for `podman build`.
image: build $(CNI_PLUGINS)
	@image/build.sh bin $(CNI_PLUGINS)

docs: check-build
	@cargo build --quiet --locked -p calicoctl
	@$(or $(CARGO_TARGET_DIR),target)/debug/calicoctl markdown >docs/.calicoctl.md.new
	@mv docs/.calicoctl.md.new docs/calicoctl.md

# For whoever has no kustomize.
manifests: $(KUBERNETES)
	@set -eu; for overlay in alone alone-etcd operator; do file=manifests/$$overlay.yaml; \
	    echo "# Made by \`make manifests\` of overlays/$$overlay, where comments say what for and how: change that." >$$file.new; \
	    $(KUBERNETES)/kubectl kustomize manifests/overlays/$$overlay >>$$file.new; mv $$file.new $$file; done

check-datastore:
	@case '$(DATASTORE)' in local|etcd) ;; \
	    *) echo 'DATASTORE=$(DATASTORE) is unknown: there are local and etcd'; exit 1;; esac

demo: check-datastore $(AUTO_DEPS) check-root build $(if $(filter etcd,$(DATASTORE)),$(ETCD))
	@cargo build --locked -p e2e --bin demo
	@DATASTORE='$(DATASTORE)' $(or $(CARGO_TARGET_DIR),target)/debug/demo

kubelet-demo: $(AUTO_DEPS) check-root image $(ETCD) $(KUBERNETES) $(CONTAINERD) $(RUNC_DEBIAN)
	@cargo build --quiet --locked -p e2e --bin kubelet_demo
	@HOLD='$(HOLD)' $(or $(CARGO_TARGET_DIR),target)/debug/kubelet_demo

cluster: $(AUTO_DEPS) check-root $(ETCD) $(KUBERNETES)
	@cargo build --quiet --locked -p e2e --bin cluster
	@$(or $(CARGO_TARGET_DIR),target)/debug/cluster

# Both halves of the pipe matter: the tests' own status and the totals.
test: $(AUTO_DEPS) check-root image servers
	@mkdir -p $(or $(CARGO_TARGET_DIR),target)
	@bash -o pipefail -c "cargo test --workspace --locked --no-fail-fast 2>&1 | tee $(or $(CARGO_TARGET_DIR),target)/test.log"; \
	status=$$?; awk -f e2e/totals.awk $(or $(CARGO_TARGET_DIR),target)/test.log; exit $$status

bench: $(AUTO_DEPS) check-root $(if $(filter bin,$(PLUGINS)),build) $(if $(filter kubelet,$(DATASTORES)),image $(CONTAINERD) $(RUNC_DEBIAN)) \
    $(if $(filter etcd kubernetes kubelet calicoctl,$(DATASTORES)),$(ETCD)) $(if $(filter kubernetes kubelet,$(DATASTORES)),$(KUBERNETES))
	@cargo build --quiet --locked -p e2e --bins
	@PLUGINS='$(PLUGINS)' DATASTORES='$(DATASTORES)' N='$(N)' $(or $(CARGO_TARGET_DIR),target)/debug/bench

lint: check-lint
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --document-private-items --quiet
	cargo deny --log-level error check bans licenses sources

# Without a sanitizer: that would need a nightly toolchain, to look for what safe Rust cannot do. Every run starts from
# the checked-in seeds, so that FUZZ_SEED means the same everywhere. An input that fails is kept in fuzz/artifacts.
fuzz: check-fuzz
	@cargo fetch --quiet --locked --manifest-path fuzz/Cargo.toml
	@cargo fuzz build --sanitizer none --target-dir $(FUZZ)
	@echo 'fuzz: FUZZ_SEED=$(FUZZ_SEED) SECONDS=$(SECONDS)'
	@set -eu; for target in $(FUZZ_TARGETS); do \
	    corpus=$(FUZZ)/corpus/$$target; log=$(FUZZ)/$$target.log; rm -rf $$corpus; mkdir -p $$corpus; \
	    cargo fuzz run --sanitizer none --target-dir $(FUZZ) $$target $$corpus fuzz/seeds/$$target -- \
	        -max_total_time=$(SECONDS) -seed=$(FUZZ_SEED) -timeout=10 -verbosity=0 -print_final_stats=1 \
	        >$$log 2>&1 || { cat $$log; echo "fuzz: $$target failed"; exit 1; }; \
	    echo "fuzz: $$target: $$(sed -n 's/^stat::number_of_executed_units: *//p' $$log) inputs"; \
	done
