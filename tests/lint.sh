#!/usr/bin/env bash
# lint.sh [lines|format|tidy BUILD]...: checks the sources; without arguments their lines and their format.
#   lines        no line of a source file has more than 120 characters
#   format       every C++ file is in the format of .clang-format (version 14)
#   tidy BUILD   clang-tidy (version 14, .clang-tidy) finds nothing; BUILD is a configured folder (cmake --preset lint)
set -euo pipefail
shopt -s extglob
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly limit=120

fail() {
  echo "lint: $1" >&2
  exit "${2:-1}"
}
tool() {  # tool NAME: its name with the version that we use
  local name
  for name in "$1-14" "$1"; do
    if "$name" --version 2>/dev/null | grep -q 'version 14\.'; then
      echo "$name"
      return
    fi
  done
  fail "needs $1 of version 14, others format or judge otherwise (Debian 12: cmake/install-deps.sh --lint)"
}
# Of a checkout the files that git knows, elsewhere all but what a build made.
sources() {  # sources PATTERN: of names
  { git ls-files --cached --others --exclude-standard 2>/dev/null || find . -path ./build -prune -o -type f -print; } |
    sed 's|^\./||' | grep -E "$1" | sort -u | while IFS= read -r file; do [[ ! -f $file ]] || echo "$file"; done
}

lines() {
  local wrong
  wrong=$(sources '\.(cpp|h|inl|py|sh|cmake|js|css|html|proto|toml)$|(^|/)CMakeLists\.txt$|^\.ci/run$' |
    LC_ALL=C.UTF-8 xargs -d '\n' grep -nHE ".{$((limit + 1)),}" || true)
  [[ -z $wrong ]] || fail "these lines have more than $limit characters:"$'\n'"$(cut -c 1-160 <<<"$wrong")"
}
format() {
  local clang_format
  clang_format=$(tool clang-format)
  sources '\.(cpp|h|inl)$' | xargs -d '\n' "$clang_format" --dry-run -Werror ||
    fail "run $clang_format -i on these files"
}
# clang-tidy 14 cannot read LibTorch's headers as C++20, which our own files are: so episodes/ and datasets/ alone.
tidy() {
  local clang_tidy
  clang_tidy=$(tool clang-tidy)
  [[ -f $1/compile_commands.json ]] || fail "$1 has no compile_commands.json: cmake --preset lint" 2
  sources '^(episodes|datasets)/.*\.cpp$' |
    xargs -d '\n' -P "$(nproc)" -n 4 "$clang_tidy" -p "$1" --quiet --extra-arg=-Wno-unknown-warning-option \
      --warnings-as-errors='*' --header-filter="$PWD/(episodes|datasets)/" 2> >(grep -v 'warnings generated' >&2) ||
    fail "$clang_tidy found something"
}

(($#)) || set -- lines format
while (($#)); do
  case $1 in
    lines | format) $1 ;;
    tidy)
      (($# > 1)) || fail "tidy needs a build folder" 2
      tidy "$2"
      shift
      ;;
    -h | --help) sed -n '2,5s/^# \?//p' "${BASH_SOURCE[0]}" && exit 0 ;;
    *) fail "unknown argument '$1' (see --help)" 2 ;;
  esac
  shift
done
