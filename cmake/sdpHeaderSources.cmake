# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# sdp_write_header_sources(<variable> FOLDER <folder> EXTENSION <e> HEADERS <files...> [BEFORE <text>])
#
# Writes one source per header that includes it and no other header of the library, below the current binary folder, and sets
# the variable to the sources. BEFORE stands before the include.

set(sdp_include_folder ${CMAKE_CURRENT_LIST_DIR}/../include)
cmake_path(NORMAL_PATH sdp_include_folder)

function(sdp_write_header_sources variable)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FOLDER;EXTENSION;BEFORE" "HEADERS")
  set(sources)
  foreach(header IN LISTS arg_HEADERS)
    cmake_path(RELATIVE_PATH header BASE_DIRECTORY ${sdp_include_folder})
    string(MAKE_C_IDENTIFIER ${header} stem)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${arg_FOLDER}/${stem}.${arg_EXTENSION})
    file(CONFIGURE OUTPUT ${source} CONTENT "${arg_BEFORE}#include <${header}>\n" @ONLY)
    list(APPEND sources ${source})
  endforeach()
  set(${variable} ${sources} PARENT_SCOPE)
endfunction()
