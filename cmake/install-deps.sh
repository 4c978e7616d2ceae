#!/usr/bin/env bash
# install-deps.sh [--tests] [--lint]: installs the packages of Debian 12 or 13 that FewAtoms is built with (--tests: and
# tested with; --lint: and formatted and judged with, on Debian 12). Does nothing, without network or root, when they
# are all there.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache pkg-config
  libtorch-dev libopenblas0-openmp  # without this one LibTorch falls back to the reference BLAS, 20 times slower
  libopencv-dev libtbb-dev libboost-dev
  libjpeg62-turbo-dev libpng-dev libtiff-dev libgif-dev libheif-dev  # pictures, with their decoders' warnings
  libarchive-dev libhdf5-dev libssl-dev libutf8proc-dev zlib1g-dev
  libcli11-dev nlohmann-json3-dev libtomlplusplus-dev
  libjs-chart.js  # its code becomes part of reports; nobody needs it to read one
  libgoogle-perftools-dev
  protobuf-compiler libprotobuf-dev
)
test_packages=(
  libgtest-dev libgmock-dev python3 python3-h5py python3-numpy python3-pil python3-torch python3-matplotlib
  chromium chromium-driver python3-selenium  # a report is tried in a browser
  groff-base zsh fish  # manual page, completions
)
lint_packages=(clang-format-14 clang-tidy-14)  # other versions format otherwise

# Debian 13 has libheif's decoders in packages of their own.
debian=$(. /etc/os-release 2>/dev/null && [[ ${ID:-} == debian ]] && echo "${VERSION_ID:-0}") || debian=0
if ((${debian%%.*} >= 13)); then packages+=(libheif-plugin-libde265 libheif-plugin-dav1d); fi

fail() {  # fail MESSAGE [CODE]
  echo "install-deps: $1" >&2
  exit "${2:-1}"
}

for argument in "$@"; do
  case $argument in
    --tests) packages+=("${test_packages[@]}") ;;
    --lint) packages+=("${lint_packages[@]}") ;;
    -h | --help)
      echo "usage: install-deps.sh [--tests] [--lint]"
      echo "installs the Debian packages to build FewAtoms, to test it (--tests) and to check its format (--lint)"
      exit 0
      ;;
    *) fail "unknown option '$argument' (known: --tests, --lint)" 2 ;;
  esac
done

# A chroot without it would build, then abort at LibTorch's first question about the processor.
[[ -r /proc/cpuinfo ]] || fail "/proc is not mounted here and LibTorch needs it: run 'mount -t proc proc /proc' first"

if ! { command -v dpkg-query && command -v apt-get; } >/dev/null; then
  fail "needs Debian 12 or 13 (no apt-get here); install by hand what corresponds to: ${packages[*]}"
fi

# shellcheck disable=SC2016  # the ${...} are dpkg-query's own
installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
  [[ $'\n'$installed$'\n' == *$'\n'"$package installed"$'\n'* ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  exit 0
fi

as_root=()
if (($(id -u) != 0)); then
  command -v sudo >/dev/null ||
    fail "run 'apt-get install ${missing[*]}' as root, then start again (you are not root and there is no sudo)"
  sudo true 2>/dev/null ||
    fail "sudo refused; run 'apt-get install ${missing[*]}' as root, then start again"
  as_root=(sudo)
fi

apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 "$@" >>"$log" 2>&1 </dev/null
}

log=$(mktemp -t fewatoms-apt.XXXXXX)
echo "Installing ${#missing[@]} Debian packages and what they need (log: $log) ..."

# Package lists that fail once are often a passing fault. Failing twice need not matter: it may be a source that has
# nothing to do with us, or the lists at hand may be good enough.
update() { apt update -o APT::Update::Error-Mode=any; }
lists="fresh"
if ! update; then
  sleep "${FEWATOMS_APT_RETRY_SECONDS:-3}"
  update || lists="stale"
fi

if ! apt install --no-install-recommends "${missing[@]}"; then
  if [[ $lists == stale ]]; then
    fail "the package lists could not be fetched (network?) and the installation failed; see $log"
  fi
  fail "apt-get install failed: $(grep -m1 '^E: ' "$log" || echo 'no reason given'); see $log"
fi
rm -f "$log"
