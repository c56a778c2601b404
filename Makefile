# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Installs what is missing on Debian 12 and runs the CMake presets; what is built and how is said in CMakePresets.json.

JOBS ?= $(shell nproc)

tools := g++ cmake ninja-build
core := $(tools) librange-v3-dev doctest-dev
mpi := libboost-mpi-dev libopenmpi-dev openmpi-bin
# Reference BLAS trains ten times slower, and libopenblas0-serial computes wrong products when several threads use it.
torch := libtorch-dev libopenblas0-openmp
trainer := $(torch) libcli11-dev nlohmann-json3-dev
study := $(trainer) zlib1g-dev dataset-fashion-mnist python3 python3-matplotlib
# gloo is a contender.
benchmarks := libbenchmark-dev libcli11-dev libgloo-dev

install = cmake/install-packages.sh $(1)

# From PyPI, as Debian has none; for the tests of conanfile.py, which are skipped without it.
install_conan = [ -x build/tools/bin/conan ] \
	|| { /usr/bin/python3 -m venv build/tools && build/tools/bin/pip install -q 'conan>=2,<3'; } \
	|| echo "conan could not be installed from PyPI into build/tools; its tests will be skipped"

# A preset, targets if not all, and which tests if not all.
define run_tests
cmake --preset $(1)
cmake --build --preset $(1) -j $(JOBS) $(addprefix --target ,$(2))
ctest --preset $(1) -j $(JOBS) $(3)
endef

.PHONY: help test nightly dev benchmark-tests asan asan-mpi tsan clang bench performance compile-time quickstart study docs

# Builds and measurements at the same time would disturb each other, also under make -j.
.NOTPARALLEL:

help:
	@echo "make test        installs, builds and runs all tests; those of the exchange also with ASan and UBSan"
	@echo "make nightly     all tests; all but libtorch's also with ASan and UBSan, the core's with TSan; those of the benchmarks"
	@echo "make quickstart  trains a small LLaMA with and without SDP and compares the two"
	@echo "make dev | asan | asan-mpi | tsan | clang   the tests of one preset"
	@echo "make bench       the benchmarks"
	@echo "make compile-time  measures how long a unit compiles that includes the library; its table is in docs/contributing.md"
	@echo "make performance all measurements of docs/performance.md, and its tables and plot"
	@echo "make study       what SDP does to the loss: runs PLAN (cpu; also smoke, memory, gpu, memory-gpu), prints its tables"
	@echo "make docs        the reference of the public headers, as HTML"

test: dev asan
nightly: dev benchmark-tests asan-mpi tsan

dev:
	@$(call install,$(core) $(mpi) $(study) clang-19 doxygen pkgconf python3-venv)
	@$(install_conan)
	$(call run_tests,dev)

benchmark-tests:
	@$(call install,$(core) $(mpi) $(benchmarks) libbenchmark-tools python3-scipy)
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target benchmarks
	ctest --preset release -j $(JOBS) -L benchmark

asan:
	@$(call install,$(core))
	$(call run_tests,asan,oracle_tests comm_tests,-L '^(oracle|comm)$$')

asan-mpi:
	@$(call install,$(core) $(mpi))
	$(call run_tests,asan-mpi)

tsan:
	@$(call install,$(core))
	$(call run_tests,tsan)

clang:
	@$(call install,$(core) $(mpi) clang-19 libc++-19-dev libc++abi-19-dev)
	$(call run_tests,clang)

bench:
	@$(call install,$(core) $(mpi) $(benchmarks))
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target bench

performance:
	@$(call install,$(core) $(mpi) $(benchmarks) gnuplot-nox python3)
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target benchmarks
	benchmarks/performance.sh $(if $(QUICK),--quick) build/release

quickstart:
	@$(call install,$(tools) librange-v3-dev $(mpi) $(trainer) dict-gcide gnuplot-nox)
	examples/quickstart.sh

compile-time:
	@$(call install,$(core) $(mpi) $(torch) python3)
	tests/compile_time/measure.py --write

PLAN ?= cpu
study:
	@$(call install,$(tools) librange-v3-dev $(mpi) $(study) dict-gcide)
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target train_llama train_resnet
	/usr/bin/python3 examples/trainers/study/study.py --plan $(PLAN) --build build/release
	/usr/bin/python3 examples/trainers/study/report.py build/study/$(PLAN).jsonl --plots build/study

docs:
	@$(call install,$(core) doxygen)
	cmake --preset dev
	cmake --build --preset dev --target docs
	@echo "build/dev/docs/html/index.html"
