# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# find_package(sdp) gives sdp::sdp and sdp::compiled; each component asked for gives sdp::<component> as well.

include(${CMAKE_CURRENT_LIST_DIR}/sdpDependencies.cmake)

sdp_find_core()
if(NOT sdp_core_FOUND)
  set(sdp_FOUND FALSE)
  set(sdp_NOT_FOUND_MESSAGE "${sdp_core_REASON}.")
  return()
endif()
include(${CMAKE_CURRENT_LIST_DIR}/sdpTargets.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/sdpCompiled.cmake)
get_target_property(sdp_include_dir sdp::sdp INTERFACE_INCLUDE_DIRECTORIES)
list(GET sdp_include_dir 0 sdp_include_dir)
sdp_add_compiled(${sdp_include_dir})
unset(sdp_include_dir)

foreach(sdp_component IN LISTS sdp_FIND_COMPONENTS)
  sdp_find_component(${sdp_component})
  if(sdp_${sdp_component}_FOUND)
    if("${sdp_component}" STREQUAL "nccl" AND NOT TARGET sdp::cuda) # which it links
      include(${CMAKE_CURRENT_LIST_DIR}/sdp_cudaTargets.cmake)
    endif()
    if(NOT TARGET sdp::${sdp_component})
      include(${CMAKE_CURRENT_LIST_DIR}/sdp_${sdp_component}Targets.cmake)
      if(sdp_${sdp_component}_LIBRARIES)
        target_link_libraries(sdp::${sdp_component} INTERFACE ${sdp_${sdp_component}_LIBRARIES})
      endif()
    endif()
  elseif(sdp_FIND_REQUIRED_${sdp_component})
    set(sdp_FOUND FALSE)
    string(APPEND sdp_NOT_FOUND_MESSAGE "${sdp_${sdp_component}_REASON}. ")
  endif()
endforeach()
unset(sdp_component)
