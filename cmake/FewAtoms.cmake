# Build helpers: one function per kind of target, and the check of the folders' order.

# fewatoms_library(NAME SOURCES ... LINK ...): the static library of one folder, alias fewatoms::NAME.
function(fewatoms_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(fewatoms_${name} STATIC ${ARG_SOURCES})
  add_library(fewatoms::${name} ALIAS fewatoms_${name})
  target_include_directories(fewatoms_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_features(fewatoms_${name} PUBLIC cxx_std_20)
  target_link_libraries(fewatoms_${name} PUBLIC ${ARG_LINK})
  fewatoms_warnings(fewatoms_${name})
  add_dependencies(fewatoms_${name} fewatoms_layers)
endfunction()

function(fewatoms_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic $<$<BOOL:${FEWATOMS_WERROR}>:-Werror>)
  # GCC 12 warns of overlaps and overflows that are not there in "text" + std::string (its bugs 105651 and 105329), and
  # GCC 13 and 14 of those that are not there in copies of std::vector<bool>, which LibTorch makes (its bug 110498).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow)
  endif()
  if(FEWATOMS_SANITIZER)
    set(sanitizers ${FEWATOMS_SANITIZER})
    if(FEWATOMS_SANITIZER STREQUAL "address")
      set(sanitizers address,undefined)
    endif()
    target_compile_options(${target} PUBLIC -fsanitize=${sanitizers} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${sanitizers})
  endif()
endfunction()

# The folders' order is checked at every build: an include that points upwards fails it (cmake/CheckLayers.cmake).
add_custom_target(fewatoms_layers ALL
  COMMAND ${CMAKE_COMMAND} -D ROOT=${PROJECT_SOURCE_DIR} -P ${PROJECT_SOURCE_DIR}/cmake/CheckLayers.cmake
  COMMENT "Checking that includes only go downwards" VERBATIM)
