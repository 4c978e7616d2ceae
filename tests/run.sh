#!/usr/bin/env bash
# run.sh [--slow]: installs what tests need, builds everything and runs the tests (--slow: the long ones too). At the
# end it counts and names the tests that were skipped; with CI=true one that is not in tests/allowed_skips.txt fails.
set -euo pipefail

preset=release
case ${1:-} in
  "") ;;
  --slow) preset=slow ;;
  -h | --help) echo "usage: tests/run.sh [--slow]" && exit 0 ;;
  *) echo "run.sh: unknown option '$1' (known: --slow)" >&2 && exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
cmake/install-deps.sh --tests

# Tests on real images run where there are some, and are skipped elsewhere.
if [[ -z ${FEWATOMS_TEST_DATA:-} && -d ../shared/datasets ]]; then
  FEWATOMS_TEST_DATA=$(cd ../shared/datasets && pwd)
  export FEWATOMS_TEST_DATA
fi

options=(-DFEWATOMS_TESTS=ON)
if [[ ${CI:-} == true ]]; then
  options+=(-DFEWATOMS_WERROR=ON)
fi
cmake --preset release "${options[@]}"
cmake --build --preset release

# Every test program leaves its results as XML.
results=$PWD/build/release/results
rm -rf "$results"
failed=0
GTEST_OUTPUT="xml:$results/" ctest --preset "$preset" || failed=$?
python3 tests/skipped.py "$results" tests/allowed_skips.txt || failed=1
exit "$failed"
