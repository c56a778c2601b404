# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The recipe for Conan 2. docs/packaging.md says what a consumer gets."""

import re
from pathlib import Path

from conan import ConanFile
from conan.errors import ConanException
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeToolchain
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout
from conan.tools.system.package_manager import Apt, Brew, Dnf, PacMan, Zypper

required_conan_version = ">=2"


class Sdp(ConanFile):
    name = "sdp"
    description = "Subnetwork Data Parallelism: each data-parallel worker trains a part of the model"
    license = "Apache-2.0 WITH LLVM-exception"
    topics = ("deep-learning", "distributed-training", "mpi", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    # The package is the same whatever they say: they ask for what a backend needs. MPI, libtorch and CUDA belong to the
    # machine, and Boost.MPI to its MPI, so the system's package manager is asked, not the index.
    options = {"with_mpi": [True, False], "with_torch": [True, False], "with_cuda": [True, False], "with_nccl": [True, False]}
    default_options = {"with_mpi": False, "with_torch": False, "with_cuda": False, "with_nccl": False}
    exports_sources = "CMakeLists.txt", "CMakePresets.json", "LICENSE", "cmake/*", "include/*"
    no_copy_source = True
    test_package_folder = "tests/package/conan"

    def set_version(self):
        """include/sdp/version.hpp is the only place that states the version."""
        header = load(self, Path(self.recipe_folder, "include", "sdp", "version.hpp"))
        numbers = re.findall(r"^#define SDP_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", header, re.MULTILINE)
        if len(numbers) != 3:
            raise ConanException(f"include/sdp/version.hpp defines {len(numbers)} parts of a version; expected MAJOR, MINOR and PATCH")
        self.version = ".".join(numbers)

    def layout(self):
        basic_layout(self)

    def requirements(self):
        self.requires("range-v3/0.12.0")

    def validate(self):
        check_min_cppstd(self, 20)

    def package_id(self):
        self.info.clear()

    def system_requirements(self):
        if self.options.with_mpi:
            Apt(self).install(["libboost-mpi-dev"])  # which brings the MPI that it was built with
            Dnf(self).install(["boost-openmpi-devel", "openmpi-devel"])
            Zypper(self).install_substitutes(["libboost_mpi-devel", "openmpi4-devel"], ["libboost_mpi-devel", "openmpi-devel"])
            PacMan(self).install(["boost", "openmpi"])
            Brew(self).install(["boost-mpi"])
        if self.options.with_torch:
            Apt(self).install(["libtorch-dev"])
            Brew(self).install(["pytorch"])
        if self.options.with_cuda or self.options.with_nccl:
            Apt(self).install_substitutes(["cuda-toolkit"], ["nvidia-cuda-toolkit"])
            PacMan(self).install(["cuda"])
        if self.options.with_nccl:
            Apt(self).install(["libnccl-dev"])
            PacMan(self).install(["nccl"])

    def generate(self):
        toolchain = CMakeToolchain(self)
        for part in ("TESTS", "EXAMPLES", "BENCHMARKS"):
            toolchain.cache_variables[f"SDP_BUILD_{part}"] = False
        toolchain.cache_variables["SDP_PKGCONFIG_MPI"] = "none"  # not what happens to be on the machine that packs
        toolchain.generate()

    def build(self):
        CMake(self).configure()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, Path(self.package_folder, "licenses"))

    def package_info(self):
        # CMake finds the package's own configuration, so that components, their errors and what they look for are the
        # same as without Conan. The components below are for other generators, and for recipes that require them.
        configuration = "share/cmake/sdp"
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.set_property("cmake_file_name", "sdp")
        self.cpp_info.builddirs = [configuration]

        def component(name, pkg_config, requires, system_libs=()):
            info = self.cpp_info.components[name]
            info.set_property("cmake_target_name", f"sdp::{name}")
            info.set_property("pkg_config_name", pkg_config)
            info.requires = requires
            info.system_libs = list(system_libs)
            info.builddirs = [configuration]
            info.bindirs = []
            info.libdirs = []

        threads = ["pthread"] if self.settings.os in ("Linux", "FreeBSD") else []
        component("sdp", "sdp", ["range-v3::range-v3"], threads)
        if self.options.with_mpi:
            component("mpi", "sdp-mpi", ["sdp"], ["boost_mpi", "boost_serialization"])
        if self.options.with_torch:
            component("torch", "sdp-torch", ["sdp"], ["torch", "torch_cpu", "c10"])
        if self.options.with_cuda or self.options.with_nccl:
            component("cuda", "sdp-cuda", ["sdp"], ["cudart"])
        if self.options.with_nccl:
            component("nccl", "sdp-nccl", ["cuda"], ["nccl"])
