# A thin front to meson. `make` leaves the command at build/fusion.
#
#   make            build                     make demo       the whole path on real digits, then two cheating servers
#   make test       build and run all tests   make bench      benchmarks
#   make python     the Python package, in build/python       make python-test  and its tests
#   make paper      the tables and figures of the paper, measured here; ARGS=--quick in minutes (bench/paper)
#   make install    install (PREFIX, DESTDIR) make clean      remove build folders and demo output
#   make asan|ubsan|tsan|clang                build so, and run the tests
#   make arm64      cross-build, and run the short tests under an emulator
#   make test-adversary  cheating servers and clients, and faults, each once; test-adversary-long: thousands of jobs
#   make test-constant-time  secrets followed by memory checkers: valgrind (C, AVX2), then make msan (AVX-512)
#   make fuzz       every parser of foreign bytes under libFuzzer, FUZZ_SECONDS each (60), or the one named by TARGET
#   make sanitize   most tests with clang's address and undefined-behaviour sanitizers; portable: without vector kernels
#   make tidy|format|layers                   clang-tidy, clang-format, the direction of dependencies
#   make coverage   lines and branches that the tests reach    make dist   the archive of a release
#   make deb        Debian packages, in build/deb; deb-test: lintian, and a fresh Debian 12 that installs them (as root)
#   make reproducible    Debian packages twice, compared; image: an OCI image of them (as root); spdx: files and licences
#   .ci/run         everything that a change must pass
#
# Missing Debian packages are installed once (scripts/setup.sh); SETUP=no leaves the machine alone.

BUILD ?= build
export PREFIX
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
SETUP ?= yes
MESON ?= meson
TEST_FLAGS ?= --print-errorlogs --no-rebuild

.PHONY: paper deb deb-test reproducible image spdx python python-test arm64 coverage dist portable sanitize msan fuzz models all setup test test-adversary test-adversary-long test-constant-time bench bench-all demo install clean asan ubsan tsan clang tidy format layers

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j $(JOBS)

setup:
ifeq ($(SETUP),yes)
	@scripts/setup.sh
endif

$(BUILD)/build.ninja: | setup
	@$(MESON) setup $(BUILD) $(if $(PREFIX),--prefix "$$PREFIX") $(SETUP_FLAGS)

test: setup all
	@$(MESON) test -C $(BUILD) $(TEST_FLAGS)

# Usable from there: PYTHONPATH=build/python. `pip install .` makes its own (docs/python.md).
python: setup all
	@scripts/python_package.sh $(BUILD) >/dev/null
python-test: setup all
	@tests/python/python_suite.sh $(BUILD) $(ARGS)

# Each prints the tables of docs/security.md; then all engines beside the default.
ADVERSARY_ENGINES = $(shell sed -n "s/^adversary_engines = \[\(.*\)\]/\1/p" tests/adversary/meson.build | tr -d "',")
ADVERSARY_SECONDS_short = 5
ADVERSARY_SECONDS_long = 60
define run_adversary
	@for t in adversary canary_models tamper bet attack verdict transcript game; do $(BUILD)/tests/test_$$t $(1) || exit 1; done
	@for e in $(ADVERSARY_ENGINES); do export FUSION_TEST_ENGINE=$$e; printf '\nEngine %s\n\n' $$e; \
	  for t in adversary bet transcript; do $(BUILD)/tests/test_$$t $(1) || exit 1; done; \
	  $(BUILD)/tests/session_fuzz $(ADVERSARY_SECONDS_$(1)) tests/adversary/corpus_engines tests/adversary/corpus || exit 1; done
	@$(BUILD)/tests/test_faults $(1) $(BUILD)/fusion && $(BUILD)/tests/test_load $(1)
endef
test-adversary: all
	$(call run_adversary,short)
test-adversary-long: all
	$(call run_adversary,long)

bench: all
	@bench/short.sh $(BUILD)

# All figures of docs/performance.md, measured anew: a quarter of an hour, on an idle machine. See bench/all.sh.
bench-all: all
	@BUILD=$(BUILD) bench/all.sh $(ARGS)

# What is found is kept in build/paper; ARGS="--out docs" writes the page of the documents.
paper: python
	@$$(scripts/find_python.sh numpy torch sklearn matplotlib onnx) bench/paper/paper.py --build $(BUILD) $(ARGS)

demo: setup all
	@BUILD=$(BUILD) examples/demo.sh

# Compiles the networks of scripts/models.json and writes docs/models.md; ARGS=--secure measures private runs too.
models: all
	@$$(scripts/find_python.sh json) scripts/models_table.py --build $(BUILD) $(ARGS)

# Without PREFIX to where the folder was set up for (/usr/local unless told otherwise). The command finds its library
# below the prefix, so that another one relinks it.
install: all
	@if [ -n "$$PREFIX" ]; then $(MESON) configure $(BUILD) -Dprefix="$$PREFIX" && ninja -C $(BUILD) -j $(JOBS); fi
	@$(MESON) install -C $(BUILD) --no-rebuild

clean:
	rm -rf build build-asan build-ubsan build-tsan build-clang build-ctgrind build-msan build-fuzz build-arm64 build-coverage demo-out

# Other builds live in their own folders, so that switching costs nothing. Tests that watch resident memory see what the address
# sanitizer sets aside. asan and ubsan also assert the ranges of lattice kernels' values (src/lattice/bound_assert.h).
asan:
	@ASAN_OPTIONS=quarantine_size_mb=16 $(MAKE) test BUILD=build-asan SETUP_FLAGS='-Db_sanitize=address -Db_lundef=false -Dbench=false -Dbounds=true'
ubsan:
	@$(MAKE) test BUILD=build-ubsan SETUP_FLAGS='-Db_sanitize=undefined -Db_lundef=false -Dbench=false -Dbounds=true'
tsan:
	@$(MAKE) test BUILD=build-tsan TEST_FLAGS='--print-errorlogs --no-rebuild --timeout-multiplier 5' SETUP_FLAGS='-Db_sanitize=thread -Db_lundef=false -Dbench=false'
# Cross-built, the short tests and those of all kernels under an emulator, and the bytes that `fusion compile` gives compared with those of this
# processor. Everything else about the architecture is untested.
ARM64_TESTS = base heap rand kernel_registry array image planes lattice_kernels maxpool one_of_n walk gemm onnx model_program model_execute \
  model_fsn model_accuracy ledger softspoken
arm64: $(BUILD)/build.ninja
ifeq ($(SETUP),yes)
	@scripts/setup.sh --arm64
endif
	@ninja -C $(BUILD) -j $(JOBS) fusion
	@[ -e build-arm64/build.ninja ] || $(MESON) setup build-arm64 --cross-file scripts/arm64.ini
	@ninja -C build-arm64 -j $(JOBS) fusion $(addprefix tests/test_,$(ARM64_TESTS))
	@$(MESON) test -C build-arm64 --print-errorlogs --no-rebuild --timeout-multiplier 10 $(ARM64_TESTS)
	@OTHER="qemu-aarch64 $(CURDIR)/build-arm64/fusion" tests/cli/compare.sh $(BUILD)/fusion tests/cli/same_bytes.sh tests/cli/same_bytes.expected
	@echo "arm64: fusion compile gives the same bytes"
clang:
ifeq ($(SETUP),yes)
	@scripts/setup.sh clang
endif
	@CC=clang $(MAKE) test BUILD=build-clang

# Secrets followed by valgrind on the portable and the AVX2 tier (valgrind knows no AVX-512), about a minute each, and by
# MemorySanitizer on the AVX2 and the AVX-512 tier, engines beside the default on the latter.
test-constant-time:
ifeq ($(SETUP),yes)
	@scripts/setup.sh valgrind
endif
	@[ -e build-ctgrind/build.ninja ] || $(MESON) setup build-ctgrind -Dctgrind=true -Dbench=false
	@ninja -C build-ctgrind -j $(JOBS) tests/test_constant_time
	@$(MESON) test -C build-ctgrind --print-errorlogs --no-rebuild constant_time_lint constant_time_c constant_time_avx2 \
	  constant_time_matrices $(ADVERSARY_ENGINES:%=constant_time_%)
	@$(MAKE) msan

msan:
ifeq ($(SETUP),yes)
	@scripts/setup.sh clang libclang-rt-dev
endif
	@[ -e build-msan/build.ninja ] || CC=clang $(MESON) setup build-msan -Dmsan=true -Dbench=false -Db_lundef=false
	@ninja -C build-msan -j $(JOBS) tests/test_constant_time tests/test_constant_time_marks
	@$(MESON) test -C build-msan --print-errorlogs --no-rebuild constant_time_marks constant_time_avx2 constant_time_avx512 \
	  constant_time_matrices $(ADVERSARY_ENGINES:%=constant_time_%)

# One build by clang with the address and undefined-behaviour sanitizers for the tests and, of `make fuzz`, the fuzz targets. Left
# out are the longest tests, those that run no code of ours, and that of limits of memory, which leave a sanitizer none.
SANITIZE_LEFT_OUT = machine cli_bench adversary tamper attack bet load faults fleet demo conformance shared_models shared_accuracy rlwe_security lpn_security \
  lpn_minors_game plan_oracle interpreter layers messages messages_mistakes constant_time_lint make_install documents documents_mistakes
sanitize: build-fuzz/build.ninja
	@ninja -C build-fuzz -j $(JOBS)
	@ASAN_OPTIONS=quarantine_size_mb=16 $(MESON) test -C build-fuzz --print-errorlogs --no-rebuild --no-suite fuzz --timeout-multiplier 4 \
	  $$($(MESON) test -C build-fuzz --no-rebuild --no-suite fuzz --list | sed 's/.* //' | \
	    grep -vxF "$$(printf '%s\n' $(SANITIZE_LEFT_OUT))")

fuzz: build-fuzz/build.ninja
	@ninja -C build-fuzz -j $(JOBS) fuzz
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) $(MESON) test -C build-fuzz --no-rebuild --suite fuzz --verbose $(TARGET)
build-fuzz/build.ninja:
ifeq ($(SETUP),yes)
	@scripts/setup.sh clang libclang-rt-dev
endif
	@CC=clang $(MESON) setup build-fuzz -Dfuzz=true -Dbench=false -Dbounds=true -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false

# The tests of kernels and protocols as on a processor without vector instructions.
PORTABLE_TESTS = base rand linear lattice_kernels base_ot softspoken silent cot_silent one_of_n planes relu_truncate multiply \
  maxpool top_k gemm model_execute model_quantise model_accuracy cheetah walk session mixcheck golden adversary
portable: all
	@FUSION_TEST_TIER=c $(MESON) test -C $(BUILD) $(TEST_FLAGS) --timeout-multiplier 4 $(PORTABLE_TESTS)

# Lines and branches that the tests reach, a folder a row.
coverage:
ifeq ($(SETUP),yes)
	@scripts/setup.sh clang libclang-rt-dev llvm
endif
	@[ -e build-coverage/build.ninja ] || CC=clang LLVM_PROFILE_FILE=/dev/null $(MESON) setup build-coverage -Dbench=false -Db_lundef=false \
	  -Dc_args='-fprofile-instr-generate -fcoverage-mapping' -Dc_link_args=-fprofile-instr-generate
	@ninja -C build-coverage -j $(JOBS)
	@rm -rf build-coverage/profiles
	@LLVM_PROFILE_FILE='$(CURDIR)/build-coverage/profiles/%4m.profraw' $(MESON) test -C build-coverage $(TEST_FLAGS) --timeout-multiplier 4 $(TESTS)
	@scripts/coverage.py build-coverage

# The files that git knows, as build/meson-dist/fusion-VERSION.tar.xz with its SHA-256; see docs/guide/release.md.
dist: all
	@$(MESON) dist -C $(BUILD) --no-tests --formats xztar

# Needs no build folder of its own: from a copy of the sources, with Debian's own flags. The tag is one of packages that Debian
# itself has.
deb:
ifeq ($(SETUP),yes)
	@scripts/setup.sh $(DEB_TOOLS)
endif
	@packaging/build_deb.sh build/deb
deb-test: deb
ifeq ($(SETUP),yes)
	@scripts/setup.sh lintian debootstrap systemd-container iproute2 piuparts
endif
	@lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs build/deb/*.changes
	@packaging/test_install.sh build/deb
	@packaging/piuparts.sh build/deb
# The packages of the first of both builds are left in build/deb.
reproducible:
ifeq ($(SETUP),yes)
	@scripts/setup.sh $(DEB_TOOLS)
endif
	@packaging/reproducible.sh build/deb
# BASE=NAME: another base image than Debian's.
image: deb
ifeq ($(SETUP),yes)
	@scripts/setup.sh buildah crun iproute2 openssl
endif
	@packaging/oci/build.sh build/deb
spdx:
	@mkdir -p build
	@scripts/spdx.py . >build/fusion.spdx.json
	@echo build/fusion.spdx.json
DEB_TOOLS = debhelper dh-python dpkg-dev fakeroot pybuild-plugin-pyproject python3-all-dev

# The files of ARM's tier are not compiled here; `make arm64` warns of them.
tidy: all
	@git ls-files 'src/*.c' 'tools/*.c' ':!*_neon.c' | xargs -P $(JOBS) -n 4 clang-tidy -p $(BUILD) --quiet
format:
	@git ls-files '*.[ch]' | xargs clang-format -i
layers:
	@scripts/check_layers.py
