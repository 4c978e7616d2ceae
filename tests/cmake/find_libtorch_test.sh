#!/usr/bin/env bash
# find_libtorch_test.sh CMAKE CXX: cmake/FindLibTorch.cmake on stand-ins of a LibTorch elsewhere: where it is found, in
# what order, and what is said of one that cannot be linked.
set -uo pipefail
cmake=$1 cxx=$2
module=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../cmake" && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place" || exit 1
unset CMAKE_PREFIX_PATH LibTorch_ROOT Torch_DIR

failures=0
check() {  # check DESCRIPTION COMMAND...: the command must succeed
  local description=$1
  shift
  if ! "$@"; then
    echo "FAILED: $description"
    sed 's/^/    /' out
    failures=$((failures + 1))
  fi
}

# stand_in FOLDER VERSION [FLAGS...]: a LibTorch of two empty libraries, of which one has a function with a string.
echo -e '#include <string>\nnamespace at { std::string show_config() { return "x"; } }' >torch.cpp
echo 'int c10;' >c10.cpp
stand_in() {
  local folder=$1 version=$2
  shift 2
  mkdir -p "$folder"/{include/ATen,include/torch/csrc/api/include/torch,lib,share/cmake/Torch}
  touch "$folder"/include/ATen/ATen.h "$folder"/include/torch/csrc/api/include/torch/types.h
  printf '#define TORCH_VERSION_%s\n' "MAJOR ${version%.*}" "MINOR ${version#*.}" "PATCH 0" \
    >"$folder/include/torch/csrc/api/include/torch/version.h"
  touch "$folder/share/cmake/Torch/TorchConfig.cmake"
  "$cxx" -shared -fPIC "$@" torch.cpp -o "$folder/lib/libtorch_cpu.so" || exit 1
  "$cxx" -shared -fPIC c10.cpp -o "$folder/lib/libc10.so" || exit 1
}
stand_in unpacked 2.11
stand_in site/torch 2.6
stand_in venv/lib/python3.13/site-packages/torch 2.9
stand_in old 2.4 -D_GLIBCXX_USE_CXX11_ABI=0
stand_in early 1.12
echo >torch.cpp
stand_in empty 2.5

mkdir project
cat >project/CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.25)
project(Finds LANGUAGES CXX)
list(PREPEND CMAKE_MODULE_PATH "$module")
find_package(LibTorch 1.13 REQUIRED)
get_target_property(libraries LibTorch::LibTorch INTERFACE_LINK_LIBRARIES)
get_target_property(headers LibTorch::LibTorch INTERFACE_INCLUDE_DIRECTORIES)
message(STATUS "LibTorch \${LibTorch_VERSION}: \${libraries} \${headers}")
END
configure() {  # configure OPTIONS...: in a new build folder unless --again comes first
  if [[ ${1:-} == --again ]]; then shift; else rm -rf build; fi
  "$cmake" -S project -B build -DCMAKE_CXX_COMPILER="$cxx" "$@" 2>&1 | tr '\n' ' ' | tr -s ' ' >out
}
says() { grep -qE "$1" out; }
finds() { says "LibTorch $2\.0: $place/$1/lib/libtorch_cpu.so;$place/$1/lib/libc10.so $place/$1/include"; }

configure -DCMAKE_PREFIX_PATH="$place/unpacked"
check "an unpacked LibTorch" finds unpacked 2.11
configure --again -DCMAKE_PREFIX_PATH="$place/site"
check "another one than the last time; the folder with torch in it" finds site/torch 2.6
configure -DCMAKE_PREFIX_PATH="$place/site/torch/share/cmake"
check "what torch.utils.cmake_prefix_path prints" finds site/torch 2.6
configure -DCMAKE_PREFIX_PATH="$place/venv"
check "a virtual environment" finds venv/lib/python3.13/site-packages/torch 2.9
configure -DTorch_DIR="$place/unpacked/share/cmake/Torch" -DCMAKE_PREFIX_PATH="$place/site"
check "Torch_DIR comes first" finds unpacked 2.11
CMAKE_PREFIX_PATH=$place/nothing:$place/site configure
check "CMAKE_PREFIX_PATH of the environment" finds site/torch 2.6
configure -DLibTorch_ROOT="$place/nothing"
check "nothing there" says "no LibTorch \(include/ATen/ATen.h\) in the folder that Torch_DIR or LibTorch_ROOT names"
configure -DCMAKE_PREFIX_PATH="$place/old"
check "the old ABI is named" says "LibTorch 2.4.0 in $place/old/lib has the old C\+\+ ABI \(_GLIBCXX_USE_CXX11_ABI=0\)"
configure -DCMAKE_PREFIX_PATH="$place/empty"
check "what cannot be linked" says "LibTorch 2.5.0 in $place/empty/lib cannot be linked with .*show_config"
configure -DCMAKE_PREFIX_PATH="$place/early"
check "too old a version" says 'Found unsuitable version "1.12.0", but required is at least "1.13"'
((failures == 0))
