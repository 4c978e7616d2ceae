#!/usr/bin/env bash
# sanitizers.sh: the tests of episodes and datasets, which need no LibTorch, under the address and undefined-behaviour
# sanitizers, and those of them that run in several threads under the thread sanitizer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for sanitizer in asan tsan; do
  cmake --preset "$sanitizer" -DFEWATOMS_APPS=OFF
  cmake --build --preset "$sanitizer" --target test_episodes test_datasets
done
ctest --preset asan -R '^(episodes|datasets)$'
ctest --preset tsan -R '^(episodes|datasets)_threads$'
