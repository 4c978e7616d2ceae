#!/usr/bin/env bash
# The scripts' failures and repetitions, with stand-ins for apt-get, sudo, cmake, the program and so on. Nothing is
# installed.
# shellcheck disable=SC2016,SC2317  # bodies of the stand-ins are quoted; checks are called through check()
set -uo pipefail

source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
export TMPDIR=$temporary FEWATOMS_APT_RETRY_SECONDS=0
unset CXX

# A copy of the scripts alone, so that nothing lands in the source folder.
root="$temporary/source folder"
mkdir -p "$root"/{apps,cmake}
cp "$source_root/apps/quickstart.sh" "$root/apps/"
cp "$source_root/cmake/install-deps.sh" "$root/cmake/"

failures=0
check() {  # check DESCRIPTION COMMAND...: the command must succeed
  local description=$1
  shift
  if ! "$@"; then
    echo "FAILED: $description"
    sed 's/^/    out: /' "$temporary/out"
    sed 's/^/    err: /' "$temporary/err"
    failures=$((failures + 1))
  fi
}

real=$temporary/real  # the tools that scripts use, without the machine's own apt-get, sudo and g++
mkdir "$real"
for tool in bash basename cat cp cut dirname env grep ln mkdir mktemp mv rm sed sleep tail tee touch; do
  ln -s "$(command -v "$tool")" "$real/$tool"
done

new_stubs() { stubs=$(mktemp -d -p "$temporary"); }
stub() {  # stub NAME BODY: a program of that name, which appends its arguments to calls
  printf '#!%s\necho "%s $*" >>"%s"\n%s\n' "$(command -v bash)" "$1" "$temporary/calls" "$2" >"$stubs/$1"
  chmod +x "$stubs/$1"
}
run() {  # run COMMAND...: with the stand-ins only; sets code
  : >"$temporary/calls"
  PATH="$stubs:$real" "$@" >"$temporary/out" 2>"$temporary/err"
  code=$?
}
one_error_line() { [[ $(wc -l <"$temporary/err") -eq 1 ]] && grep -q "$1" "$temporary/err"; }
called() { grep -qE "$1" "$temporary/calls"; }
times_called() { [[ $(grep -cE "$1" "$temporary/calls") -eq $2 ]]; }
exits() { ((code == $1)); }
silent() { [[ ! -s $temporary/out && ! -s $temporary/err ]]; }
not() { ! "$@"; }

all_installed='for p; do [[ $p == -* ]] || echo "$p installed"; done'
lacks_cmake='for p; do [[ $p == -* || $p == cmake ]] || echo "$p installed"; done; echo "no packages found" >&2; exit 1'
as_user='echo 1000'
as_root='echo 0'
passes_on='[[ $1 == true ]] && exit 0; exec "$@"'
apt_install_fails='[[ $* == *" update"* ]] || { echo "E: Unable to locate package cmake"; exit 100; }'

deps="$root/cmake/install-deps.sh"

new_stubs
stub dpkg-query "$all_installed"
stub apt-get "exit 1"
stub id "$as_user"
run "$deps" --tests
check "all installed: success" exits 0
check "all installed: no word" silent
check "all installed: apt-get is left alone" not called '^apt-get'

stub dpkg-query "$lacks_cmake"
run "$deps"
check "no root, no sudo: exit 1" exits 1
check "no root, no sudo: says what to do" one_error_line "'apt-get install cmake' as root"
check "no root, no sudo: apt-get is left alone" not called '^apt-get'

stub sudo 'echo "sudo: a password is required" >&2; exit 1'
run "$deps"
check "sudo refuses: exit 1" exits 1
check "sudo refuses: says what to do" one_error_line "sudo refused.*'apt-get install cmake' as root"

stub sudo "$passes_on"
stub apt-get 'exit 0'
run "$deps"
check "sudo: success" exits 0
check "sudo: apt-get runs through it" called '^sudo env .*apt-get .*install .*cmake$'
check "sudo: only what is missing is installed" not called 'apt-get .*libtorch-dev'
check "sudo: the log is removed" not compgen -G "$temporary/fewatoms-apt.*"

stub id "$as_root"
stub apt-get "$apt_install_fails"
run "$deps"
check "apt-get install fails: exit 1" exits 1
check "apt-get install fails: the reason and the log" \
  one_error_line "Unable to locate package cmake; see $temporary/fewatoms-apt"
check "root: no sudo" not called '^sudo'

stub apt-get 'echo "pages of output"; exit 100'
run "$deps"
check "no network: exit 1" exits 1
check "no network: says so" one_error_line "network"
check "no network: the lists are tried twice" times_called 'apt-get .* update' 2
check "no network: one line of progress" eval '[[ $(wc -l <"$temporary/out") -eq 1 ]]'

rm "$stubs/apt-get"
run "$deps"
check "no apt-get: exit 1" exits 1
check "no apt-get: says so" one_error_line "needs Debian"
run "$deps" --test
check "unknown option: exit 2" exits 2
check "unknown option: says so" one_error_line "unknown option '--test'"

# Quickstart.
quickstart="$root/apps/quickstart.sh"
new_stubs
stub id "$as_root"
stub dpkg-query "$all_installed"
stub apt-get "exit 1"
stub g++ 'echo 12'
# cmake makes a program that acts like fewatoms: it leaves the files that a run leaves.
stub cmake '
[[ $1 == --preset ]] && mkdir -p build/release && touch build/release/build.ninja && exit 0
[[ -f broken ]] && echo "[1/2] Building" && echo "error: expected ;" && exit 1
mkdir -p build/release/apps && cp "$FEWATOMS_STAND_IN" build/release/apps/fewatoms && echo "[2/2] Linking"'
stub stand-in '
run="" json=""
for ((i = 1; i < $#; ++i)); do
  next=$((i + 1))
  case ${!i} in --out) run=${!next} ;; --json) json=${!next} ;; esac
done
case $1 in
  train)
    if [[ -f $run/config.toml && $* != *--resume* ]]; then echo "train: $run exists" >&2; exit 2; fi
    [[ $* == *--resume* ]] || { mkdir -p "$run" && touch "$run"/{config.toml,last.safetensors}; } ;;
  eval) echo "{}" >"$json" ;;
  dataset) [[ -d $5/test ]] && echo "{\"split\": \"test\"}" || echo "{\"split\": \"val\"}" ;;
  table) echo "the table" ;;
esac'
export FEWATOMS_STAND_IN="$stubs/stand-in"

for arguments in "--dataset nonsense" "--dataset cub" "--dataset cub --data-root $temporary/absent" "--iterations 0" \
  "--iterations" "--threads=two" "--what"; do
  # shellcheck disable=SC2086
  run "$quickstart" $arguments
  check "quickstart $arguments: exit 2" exits 2
  check "quickstart $arguments: one line" one_error_line "^quickstart: "
  check "quickstart $arguments: nothing started" not called '^(cmake|dpkg-query)'
done

cd "$temporary" || exit 1
run "$quickstart" --out "my runs"
check "quickstart: success" exits 0
check "quickstart: no complaint" eval '[[ ! -s $temporary/err ]]'
check "quickstart: configures without tests" called '^cmake --preset release -DFEWATOMS_TESTS=OFF$'
check "quickstart: trains three methods" times_called '^stand-in train' 3
check "quickstart: evaluates three runs" times_called '^stand-in eval' 3
check "quickstart: --out counts from the current folder" test -f "$temporary/my runs/maml/config.toml"
check "quickstart: prints the table" grep -q "the table" "$temporary/out"

run "$quickstart" --out "my runs"
check "again: success" exits 0
check "again: does not configure again" not called '^cmake --preset release -D'
check "again: resumes" times_called '^stand-in train .*--resume' 3
check "again: evaluates nothing" not called '^stand-in eval'
check "again: prints the table" grep -q "the table" "$temporary/out"

touch -d '+1 minute' "my runs/maml/last.safetensors"
run "$quickstart" --out "my runs"
check "one run went on: it alone is evaluated" \
  eval 'times_called "^stand-in eval" 1 && called "^stand-in eval my runs/maml"'

mkdir -p data/{val,train}
run "$quickstart" --dataset mini-imagenet --data-root data
check "real data: success" exits 0
check "real data without test: val" \
  eval 'called "^stand-in eval .*--split val" && grep -q "those of val" "$temporary/out"'
check "real data: shrunk" called '^stand-in train .*--data-root data --image-size 40'
check "real data: runs lie in the source folder" test -f "$root/runs/quickstart-mini-imagenet/anil/config.toml"
mkdir data/test
run "$quickstart" --dataset mini-imagenet --data-root data
check "real data with test: test" called '^stand-in eval .*--split test'

touch "$root/broken"
run "$quickstart"
check "build fails: exit 1" exits 1
check "build fails: the compiler's words" grep -q "error: expected ;" "$temporary/err"
check "build fails: names the log" \
  eval 'tail -n 1 "$temporary/err" | grep -q "^quickstart: the build failed.*quickstart.log"'
rm "$root/broken"

stub g++ 'echo 11'
run "$quickstart"
check "old compiler: exit 1" exits 1
check "old compiler: says so" one_error_line "g++ 12 or newer"
rm "$stubs/g++"
run "$quickstart"
check "no compiler: exit 1" exits 1
check "no compiler: says so" one_error_line "does not run"

((failures == 0)) && echo "all passed"
exit $((failures > 0))
