# LibTorch 1.13 or newer: Debian's, or another that CMAKE_PREFIX_PATH names (or LibTorch_ROOT, or Torch_DIR): the folder
# of an unpacked LibTorch, the folder `torch` of PyTorch's wheel, the virtual environment it is installed in, or what
# `python3 -c 'import torch; print(torch.utils.cmake_prefix_path)'` prints. Defines the target LibTorch::LibTorch.
#
# LibTorch's own configuration (find_package(Torch)) only tells where it lies: it would ask for CUDA, MKL and protobuf,
# of which FewAtoms uses nothing.

# The first folder of those named that holds LibTorch's headers; empty: the system's places are searched.
set(LibTorch_named ${LibTorch_ROOT} $ENV{LibTorch_ROOT} ${CMAKE_PREFIX_PATH})
string(REPLACE ":" ";" LibTorch_from_environment "$ENV{CMAKE_PREFIX_PATH}")
list(APPEND LibTorch_named ${LibTorch_from_environment})
set(LibTorch_folder "")
if(Torch_DIR)
  list(PREPEND LibTorch_named ${Torch_DIR}/../../..)  # share/cmake/Torch
endif()
foreach(named IN LISTS LibTorch_named)
  file(GLOB environments ${named}/lib/python3*/site-packages/torch)
  foreach(folder IN ITEMS ${named} ${named}/../.. ${named}/torch ${environments})
    if(NOT LibTorch_folder AND EXISTS ${folder}/include/ATen/ATen.h)
      get_filename_component(LibTorch_folder ${folder} ABSOLUTE)
    endif()
  endforeach()
endforeach()
if((Torch_DIR OR LibTorch_ROOT OR DEFINED ENV{LibTorch_ROOT}) AND NOT LibTorch_folder)
  message(FATAL_ERROR "There is no LibTorch (include/ATen/ATen.h) in the folder that Torch_DIR or LibTorch_ROOT names")
endif()

# Headers and libraries come from one place: never the headers of one version with the libraries of another.
if(LibTorch_folder)
  set(LibTorch_places PATHS ${LibTorch_folder} NO_DEFAULT_PATH)
  set(LibTorch_library_suffixes PATH_SUFFIXES lib/${CMAKE_LIBRARY_ARCHITECTURE} lib lib64)
else()
  set(LibTorch_places "")
  set(LibTorch_library_suffixes "")
endif()
if(NOT "${LibTorch_folder}" STREQUAL "${LibTorch_FOLDER_OF_CACHE}")  # another one than the last time: search again
  foreach(found IN ITEMS INCLUDE_DIR ROOT_INCLUDE_DIR LIBRARY CPU_LIBRARY C10_LIBRARY ABI_CHECKED)
    unset(LibTorch_${found} CACHE)
  endforeach()
endif()
set(LibTorch_FOLDER_OF_CACHE "${LibTorch_folder}" CACHE INTERNAL "where LibTorch was searched")
find_path(LibTorch_INCLUDE_DIR torch/types.h
  ${LibTorch_places} PATH_SUFFIXES include/torch/csrc/api/include torch/csrc/api/include include)
find_path(LibTorch_ROOT_INCLUDE_DIR ATen/ATen.h ${LibTorch_places} PATH_SUFFIXES include)
find_library(LibTorch_CPU_LIBRARY torch_cpu ${LibTorch_places} ${LibTorch_library_suffixes})
find_library(LibTorch_C10_LIBRARY c10 ${LibTorch_places} ${LibTorch_library_suffixes})

set(LibTorch_VERSION "")
if(EXISTS "${LibTorch_INCLUDE_DIR}/torch/version.h")
  file(STRINGS ${LibTorch_INCLUDE_DIR}/torch/version.h LibTorch_version_lines
    REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH)")
  string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]*" "\\1." LibTorch_VERSION "${LibTorch_version_lines}")
  string(REGEX REPLACE "\\.$" "" LibTorch_VERSION "${LibTorch_VERSION}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR LibTorch_ROOT_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION)

# A LibTorch of the old C++ ABI (_GLIBCXX_USE_CXX11_ABI=0, as PyTorch's wheels were up to 2.5) has another std::string
# than OpenCV and protobuf of the system, and no program links with both. So a function with such a string is called.
function(LibTorch_links result)
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/libtorch_abi.cpp
    "#include <string>\nnamespace at { std::string show_config(); }\n"
    "int main() { return at::show_config().empty(); }\n")
  try_compile(LibTorch_linked
    ${CMAKE_CURRENT_BINARY_DIR}/libtorch_abi SOURCES ${CMAKE_CURRENT_BINARY_DIR}/libtorch_abi.cpp
    COMPILE_DEFINITIONS ${ARGN} LINK_LIBRARIES ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY} OUTPUT_VARIABLE output)
  set(${result} ${LibTorch_linked} PARENT_SCOPE)
  unset(LibTorch_linked CACHE)
  string(REGEX MATCH "[^\n]*(undefined reference|cannot find|incompatible|not found|error)[^\n]*" output "${output}")
  set(LibTorch_link_error "${output}" PARENT_SCOPE)
endfunction()
if(LibTorch_FOUND AND NOT LibTorch_ABI_CHECKED)
  LibTorch_links(LibTorch_new_abi)
  if(NOT LibTorch_new_abi)
    set(error "${LibTorch_link_error}")
    LibTorch_links(LibTorch_old_abi -D_GLIBCXX_USE_CXX11_ABI=0)
    get_filename_component(place ${LibTorch_CPU_LIBRARY} DIRECTORY)
    if(LibTorch_old_abi)
      message(FATAL_ERROR "LibTorch ${LibTorch_VERSION} in ${place} has the old C++ ABI (_GLIBCXX_USE_CXX11_ABI=0); "
        "OpenCV and protobuf of this system have the new one (=1): take the LibTorch called 'cxx11 ABI', or 2.7 or "
        "newer")
    endif()
    message(FATAL_ERROR
      "LibTorch ${LibTorch_VERSION} in ${place} cannot be linked with ${CMAKE_CXX_COMPILER}: ${error}")
  endif()
  set(LibTorch_ABI_CHECKED ON CACHE INTERNAL "LibTorch has this compiler's C++ ABI")
endif()

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE ${LibTorch_ROOT_INCLUDE_DIR} ${LibTorch_INCLUDE_DIR})
  target_link_libraries(LibTorch::LibTorch INTERFACE ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY})
endif()
