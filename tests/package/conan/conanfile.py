# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Builds the consumer project with the package: the quickstart, and each backend that an option of the package names."""

from pathlib import Path

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout


class Consumer(ConanFile):
    settings = "os", "arch", "compiler", "build_type"

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        cmake_layout(self)

    @property
    def components(self):
        options = self.dependencies["sdp"].options
        return [name for name in ("mpi", "torch", "nccl") if options.get_safe(f"with_{name}")]

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False  # which would be written into the source tree
        toolchain.cache_variables["COMPONENTS"] = ";".join(self.components)
        if not self.components:
            quickstart = Path(self.recipe_folder).parents[2] / "examples" / "quickstart.cpp"
            toolchain.cache_variables["PROGRAM"] = quickstart.as_posix()
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure(build_script_folder="../consumer")
        cmake.build()

    def test(self):
        if not can_run(self):
            return
        folder = Path(self.build_folder, self.cpp.build.bindir)
        for name in self.components or [""]:
            program = folder / (f"consumer_{name}" if name else "consumer")
            launcher = "mpiexec -n 2 " if name == "mpi" else ""
            self.run(f'{launcher}"{program}"', env="conanrun")
