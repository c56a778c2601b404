# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The system's range-v3 under the index's name, so that the test needs no index. Nothing but the test uses it."""

from conan import ConanFile
from conan.tools.files import copy


class SystemRangeV3(ConanFile):
    name = "range-v3"
    version = "0.12.0"
    package_type = "header-library"

    def package(self):
        for folder in ("range", "meta", "concepts", "std"):
            copy(self, f"{folder}/*", "/usr/include", f"{self.package_folder}/include")

    def package_info(self):
        self.cpp_info.set_property("cmake_target_name", "range-v3::range-v3")
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
