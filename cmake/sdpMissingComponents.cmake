# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A project that has sdp as a subdirectory and links a component that has no target gets a sentence with the cure. CMake's
# own says only that a target was not found. All targets are known at the end of the whole configuration.

foreach(component IN LISTS components)
  if(NOT component IN_LIST SDP_COMPONENTS)
    string(CONCAT reason "SDP_COMPONENTS does not list ${component}. Add it before sdp is added, as in set(SDP_COMPONENTS ${component}), "
      "or on the command line, as in -DSDP_COMPONENTS=${component}; a list of several has semicolons.")
  elseif(NOT sdp_${component}_FOUND)
    set(reason "${sdp_${component}_REASON}.")
  else()
    continue()
  endif()
  set_property(GLOBAL APPEND PROPERTY sdp_missing_components ${component})
  set_property(GLOBAL PROPERTY sdp_missing_${component} "${reason}")
endforeach()

function(sdp_explain_missing_components)
  set(folders)
  set(imported)
  set(ahead "${CMAKE_SOURCE_DIR}")
  while(ahead)
    list(POP_FRONT ahead folder)
    list(APPEND folders "${folder}")
    get_property(inner DIRECTORY "${folder}" PROPERTY SUBDIRECTORIES)
    list(APPEND ahead ${inner})
    get_property(targets DIRECTORY "${folder}" PROPERTY IMPORTED_TARGETS)
    list(APPEND imported ${targets})
  endwhile()

  get_property(missing GLOBAL PROPERTY sdp_missing_components)
  foreach(component IN LISTS missing)
    if("sdp::${component}" IN_LIST imported) # from an installed sdp
      continue()
    endif()
    foreach(folder IN LISTS folders)
      get_property(targets DIRECTORY "${folder}" PROPERTY BUILDSYSTEM_TARGETS)
      foreach(target IN LISTS targets)
        get_target_property(private ${target} LINK_LIBRARIES)
        get_target_property(public ${target} INTERFACE_LINK_LIBRARIES)
        set(links "${private};${public}")
        if(links MATCHES "(^|[^A-Za-z0-9_-])sdp::${component}($|[^A-Za-z0-9_-])"
            AND NOT links MATCHES "TARGET_(NAME_IF_)?EXISTS:sdp::${component}>")
          get_property(reason GLOBAL PROPERTY sdp_missing_${component})
          message(FATAL_ERROR "The target ${target} links sdp::${component}, but ${reason}")
        endif()
      endforeach()
    endforeach()
  endforeach()
endfunction()

get_property(deferred GLOBAL PROPERTY sdp_explains_missing_components)
if(NOT deferred)
  set_property(GLOBAL PROPERTY sdp_explains_missing_components TRUE)
  cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL sdp_explain_missing_components)
endif()
