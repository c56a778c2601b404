# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

set(VCPKG_BUILD_TYPE release) # header-only port

# As an overlay of a clone the port installs the tree that it lies in. vcpkg's cache notices a change of the port, not of
# the tree; --no-binarycaching makes it look again. In a registry the port lies alone: a release then names the repository
# in REPO, and in SHA512 the sum of its archive, which vcpkg prints when it meets the 0 below.
set(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../..")
if(NOT EXISTS "${SOURCE_PATH}/include/sdp/version.hpp")
  vcpkg_from_github(
    OUT_SOURCE_PATH SOURCE_PATH
    REPO OWNER/sdp
    REF "v${VERSION}"
    SHA512 0
    HEAD_REF main)
endif()

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DSDP_BUILD_TESTS=OFF
    -DSDP_BUILD_EXAMPLES=OFF
    -DSDP_BUILD_BENCHMARKS=OFF
    -DSDP_PKGCONFIG_MPI=none) # not what happens to be on the machine that packs
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/sdp)
if(NOT "mpi" IN_LIST FEATURES)
  file(REMOVE "${CURRENT_PACKAGES_DIR}/share/pkgconfig/sdp-mpi.pc")
endif()
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/doc")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
