#!/usr/bin/env bash
# From a bare Debian 12 or 13 to a table: installs packages, builds, trains ACDC-MAML and two standard controls for a
# few minutes, and compares them on classes that none has seen, by the number of inner steps. Can be stopped and run
# again.
set -euo pipefail

methods=(acdc-maml maml anil)
# Three to four minutes of training and evaluation on two cores:
iterations=600        # of each method
photo_iterations=300  # the same on photographs, which
photo_size=40         # are shrunk to this many pixels
episodes=600          # of each evaluation
steps=0,1,2,5,10      # inner steps to evaluate at

usage() {
  cat <<END
usage: apps/quickstart.sh [options]
  --dataset NAME     strokes (default, built in), omniglot, mini-imagenet, cub or folders
  --data-root DIR    where the data set lies (not for strokes)
  --iterations N     meta-iterations of each method (default $iterations; $photo_iterations on photographs)
  --threads N        threads (default: all cores)
  --out DIR          where the runs go (default runs/quickstart-NAME in the source folder)
END
}

say() { printf '%s\n' "$@"; }  # a line per argument
fail() {  # fail MESSAGE [CODE]
  echo "quickstart: $1" >&2
  exit "${2:-1}"
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dataset=strokes data_root="" out="" threads="" given_iterations=""
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
    --dataset | --data-root | --iterations | --threads | --out) (($# > 1)) || fail "$1 needs a value" 2 ;;
    *) fail "unknown option '$1' (see --help)" 2 ;;
  esac
  case $1 in
    --dataset) dataset=$2 ;;
    --data-root) data_root=$2 ;;
    --iterations) given_iterations=$2 ;;
    --threads) threads=$2 ;;
    --out) out=$2 ;;
  esac
  shift 2
done

[[ $threads =~ ^([1-9][0-9]*)?$ ]] || fail "--threads must be a positive whole number, not '$threads'" 2
data=(--dataset "$dataset")
images=()
case $dataset in
  strokes | omniglot) ;;
  mini-imagenet | cub | folders)
    images=(--image-size "$photo_size")
    iterations=$photo_iterations
    ;;
  *) fail "unknown data set '$dataset' (see --help)" 2 ;;
esac
iterations=${given_iterations:-$iterations}
[[ $iterations =~ ^[1-9][0-9]*$ ]] || fail "--iterations must be a positive whole number, not '$iterations'" 2
if [[ $dataset != strokes ]]; then
  [[ -n $data_root ]] || fail "--dataset $dataset needs --data-root DIR" 2
  [[ -d $data_root ]] || fail "--data-root '$data_root' is not a folder" 2
fi
if [[ -n $data_root ]]; then
  data+=(--data-root "$data_root")
fi
machine=()
if [[ -n $threads ]]; then
  machine=(--threads "$threads")
fi
out=${out:-$root/runs/quickstart-$dataset}

"$root/cmake/install-deps.sh"

compiler=${CXX:-g++}
version=$("$compiler" -dumpversion 2>/dev/null) || fail "the C++ compiler '$compiler' does not run"
((${version%%.*} >= 12)) || fail "g++ 12 or newer is needed for C++20, '$compiler' is version $version"

# build LOG COMMAND...: runs it with its output in LOG, and shows ninja's [done/total] counter.
build() {
  local log=$1 line shown=-1 percent
  shift
  (cd "$root" && "$@" 2>&1) | tee -a "$log" | while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
    percent=$((100 * BASH_REMATCH[1] / BASH_REMATCH[2]))
    if [[ -t 1 ]]; then
      printf '\r  building %3d %%, %d s ' "$percent" "$SECONDS"
    elif ((percent / 25 > shown)); then
      shown=$((percent / 25))
      say "  building $percent %, $SECONDS s"
    fi
  done || {
    tail -n 15 "$log" >&2
    fail "the build failed; all of its output is in $log"
  }
  if [[ -t 1 ]]; then
    printf '\r%30s\r' ""
  fi
}

mkdir -p "$root/build"
log=$root/build/quickstart.log
: >"$log"
say "Building build/release/apps/fewatoms ..."
SECONDS=0
if [[ ! -f $root/build/release/build.ninja ]]; then
  build "$log" cmake --preset release -DFEWATOMS_TESTS=OFF
fi
build "$log" cmake --build --preset release --target fewatoms
fewatoms=$root/build/release/apps/fewatoms

split="test"
if [[ $dataset != strokes ]]; then
  inspection=$("$fewatoms" dataset inspect "$dataset" --data-root "$data_root" --json --quick)
  if ! grep -qE '"split": *"test"' <<<"$inspection"; then
    split="val"
    say "There is no test split under $data_root: the unseen classes are those of val."
  fi
fi
if ((${#images[@]})); then
  say "Images are shrunk to $photo_size×$photo_size to keep this short; published numbers are for larger ones."
fi

started=$SECONDS
mkdir -p "$out"
results=()
for method in "${methods[@]}"; do
  run=$out/$method
  result=$out/$method.$split.json
  resume=()
  if [[ -f $run/config.toml ]]; then
    resume=(--resume)
  fi
  say "" "== $method: $iterations meta-iterations on $dataset"
  "$fewatoms" train "${data[@]}" "${images[@]}" --method "$method" --ways 5 --shots 1 --queries 15 \
    --iterations "$iterations" --val-every 0 "${machine[@]}" --out "$run" "${resume[@]}"
  if [[ ! -f $result || $run/last.safetensors -nt $result ]]; then
    "$fewatoms" eval "$run" "${data[@]}" --split "$split" --episodes "$episodes" --eval-inner-steps "$steps" \
      "${machine[@]}" --json "$result.part"
    mv "$result.part" "$result"
  fi
  results+=("$result")
done

say "" "5-way 1-shot on the unseen classes of $dataset ($split split, $episodes episodes), accuracy by inner steps:" ""
"$fewatoms" table "${results[@]}"
say "" "Trained and evaluated in $((SECONDS - started)) s. Runs and results are in $out."
