# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# cmake -DPORT_FOLDER=<p> -DSOURCE=<s> -DBUILDTREES=<b> -DPACKAGES=<d> [-DFEATURES=<f;...>] -P install.cmake
#
# Runs the port as vcpkg would, as far as that goes without vcpkg: its functions are played by small ones that do the same
# steps with CMake, and refuse arguments that they do not know. Then looks at the installed tree as vcpkg's checks would.

cmake_minimum_required(VERSION 3.25)

file(REAL_PATH "${SOURCE}" SOURCE)
set(PORT sdp)
set(CURRENT_PORT_DIR "${PORT_FOLDER}")
set(CURRENT_PACKAGES_DIR "${PACKAGES}")
set(CURRENT_BUILDTREES_DIR "${BUILDTREES}")
set(build "${BUILDTREES}/release")
file(READ "${PORT_FOLDER}/vcpkg.json" manifest)
string(JSON VERSION GET "${manifest}" version)
list(APPEND FEATURES core)
file(REMOVE_RECURSE "${PACKAGES}" "${BUILDTREES}")
file(MAKE_DIRECTORY "${BUILDTREES}")
set_property(GLOBAL PROPERTY called "")

function(stand_in name arguments options one many)
  set_property(GLOBAL APPEND PROPERTY called ${name})
  cmake_parse_arguments(arg "${options}" "${one}" "${many}" ${arguments})
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${name} does not know: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  foreach(key IN LISTS options one many)
    set(arg_${key} "${arg_${key}}" PARENT_SCOPE)
  endforeach()
endfunction()

function(vcpkg_from_github)
  stand_in(vcpkg_from_github "${ARGN}" "" "OUT_SOURCE_PATH;REPO;REF;SHA512;HEAD_REF" "")
  if(NOT arg_REPO MATCHES "^[^/]+/[^/]+$" OR NOT arg_SHA512 MATCHES "^(0|[0-9a-f]+)$" OR NOT arg_REF STREQUAL "v${VERSION}")
    message(FATAL_ERROR "vcpkg_from_github cannot fetch REPO ${arg_REPO}, REF ${arg_REF}, SHA512 ${arg_SHA512}")
  endif()
  set(${arg_OUT_SOURCE_PATH} "${SOURCE}" PARENT_SCOPE)
endfunction()

function(vcpkg_cmake_configure)
  stand_in(vcpkg_cmake_configure "${ARGN}" "" "SOURCE_PATH" "OPTIONS")
  # The packer's own dependencies are not there; a port that needs one has to list it.
  set(hidden)
  foreach(package IN ITEMS range-v3 MPI Boost Torch CUDAToolkit doctest benchmark Doxygen)
    list(APPEND hidden -DCMAKE_DISABLE_FIND_PACKAGE_${package}=ON)
  endforeach()
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${build} -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF
      -DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR} -DCMAKE_INSTALL_LIBDIR:STRING=lib -DCMAKE_INSTALL_BINDIR:STRING=bin
      ${hidden} ${arg_OPTIONS}
    COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(vcpkg_cmake_install)
  stand_in(vcpkg_cmake_install "${ARGN}" "" "" "")
  execute_process(COMMAND ${CMAKE_COMMAND} --build ${build} --target install OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Moves the configuration to share/<port>, where the prefix is always two folders up.
function(vcpkg_cmake_config_fixup)
  stand_in(vcpkg_cmake_config_fixup "${ARGN}" "" "PACKAGE_NAME;CONFIG_PATH" "")
  set(from "${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH}")
  set(to "${CURRENT_PACKAGES_DIR}/share/${PORT}")
  file(GLOB files "${from}/*")
  if(NOT files)
    message(FATAL_ERROR "vcpkg_cmake_config_fixup finds nothing in ${from}")
  endif()
  file(COPY ${files} DESTINATION "${to}")
  file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/cmake")
  set(first [[get_filename_component(_IMPORT_PREFIX "${CMAKE_CURRENT_LIST_FILE}" PATH)]])
  set(up [[get_filename_component(_IMPORT_PREFIX "${_IMPORT_PREFIX}" PATH)]])
  file(GLOB files "${to}/*.cmake")
  foreach(file IN LISTS files)
    file(READ "${file}" text)
    string(REPLACE "\n${up}" "" text "${text}")
    string(REPLACE "${first}" "${first}\n${up}\n${up}" text "${text}")
    file(WRITE "${file}" "${text}")
  endforeach()
endfunction()

# The modules are already relative to where they lie; that they can be loaded is what vcpkg checks.
function(vcpkg_fixup_pkgconfig)
  stand_in(vcpkg_fixup_pkgconfig "${ARGN}" "" "" "")
  find_program(pkg_config NAMES pkgconf pkg-config)
  if(NOT pkg_config)
    return()
  endif()
  set(ENV{PKG_CONFIG_LIBDIR} "${CURRENT_PACKAGES_DIR}/share/pkgconfig") # and no other module
  file(GLOB modules "${CURRENT_PACKAGES_DIR}/share/pkgconfig/*.pc")
  foreach(module IN LISTS modules)
    cmake_path(GET module STEM name)
    execute_process(COMMAND ${pkg_config} --print-errors --exists ${name} COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
endfunction()

function(vcpkg_install_copyright)
  stand_in(vcpkg_install_copyright "${ARGN}" "" "COMMENT" "FILE_LIST")
  file(INSTALL ${arg_FILE_LIST} DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}" RENAME copyright)
endfunction()

include("${PORT_FOLDER}/portfile.cmake")

set(clone "${SOURCE}/cmake/vcpkg/ports/sdp")
get_property(called GLOBAL PROPERTY called)
if(PORT_FOLDER STREQUAL clone AND "vcpkg_from_github" IN_LIST called)
  message(FATAL_ERROR "as an overlay of a clone the port fetches something instead of using the clone")
elseif(NOT PORT_FOLDER STREQUAL clone AND NOT "vcpkg_from_github" IN_LIST called)
  message(FATAL_ERROR "outside of a clone the port fetches nothing")
endif()

foreach(path IN ITEMS share/sdp/copyright share/sdp/usage share/sdp/sdpConfig.cmake share/sdp/sdpConfigVersion.cmake
    share/sdp/sdp_mpiTargets.cmake share/pkgconfig/sdp.pc include/sdp/sdp.hpp include/sdp/cuda/launch.cu)
  if(NOT EXISTS "${PACKAGES}/${path}")
    message(FATAL_ERROR "the port does not install ${path}")
  endif()
endforeach()
foreach(path IN ITEMS debug lib bin share/cmake share/doc share/sdp/LICENSE)
  if(EXISTS "${PACKAGES}/${path}")
    message(FATAL_ERROR "the port leaves ${path}; a header-only port must not")
  endif()
endforeach()
if("mpi" IN_LIST FEATURES AND NOT EXISTS "${PACKAGES}/share/pkgconfig/sdp-mpi.pc")
  message(FATAL_ERROR "the feature mpi lacks sdp-mpi.pc")
elseif(NOT "mpi" IN_LIST FEATURES AND EXISTS "${PACKAGES}/share/pkgconfig/sdp-mpi.pc")
  message(FATAL_ERROR "sdp-mpi.pc is there without the feature mpi")
endif()
file(GLOB_RECURSE files "${PACKAGES}/share/*")
foreach(file IN LISTS files)
  file(READ "${file}" text)
  foreach(folder IN ITEMS "${PACKAGES}" "${BUILDTREES}" "${SOURCE}")
    string(FIND "${text}" "${folder}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} names ${folder}, so the installed tree cannot be moved")
    endif()
  endforeach()
endforeach()
