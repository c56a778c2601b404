# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# sdp_add_compiled(<folder with sdp/src/src.cpp>)
#
# Adds sdp::compiled, a static library of the functions that are no templates. A target that links it compiles declarations only.
# The project that links it builds it, with its own compiler and switches, so one installed package serves all machines. A
# project that links sdp::sdp alone builds nothing.
function(sdp_add_compiled include_dir)
  if(TARGET sdp_compiled)
    return()
  endif()
  add_library(sdp_compiled STATIC EXCLUDE_FROM_ALL ${include_dir}/sdp/src/src.cpp)
  add_library(sdp::compiled ALIAS sdp_compiled)
  set_target_properties(sdp_compiled PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_compile_definitions(sdp_compiled PUBLIC SDP_SEPARATE_COMPILATION)
  target_link_libraries(sdp_compiled PUBLIC sdp::sdp)
endfunction()
