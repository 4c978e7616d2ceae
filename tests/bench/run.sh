#!/usr/bin/env bash
# Times fewatoms beside its peers, in turns in one run on an otherwise idle machine, and prints the ratios. Needs a
# release build and Debian's python3-torch.
#
#   tests/bench/run.sh [CHECKOUT]     CHECKOUT (or LEARN2LEARN): a checkout of learn2learn, timed too
#
# THREADS (2), ROUNDS (3), REPEAT (5 measurements a round) and SIZE (84 pixels) may be set; MINI_IMAGENET is the folder
# of that data set for the loader's row (without it the built-in strokes).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export THREADS=${THREADS:-2} ROUNDS=${ROUNDS:-3}
repeat=${REPEAT:-5} size=${SIZE:-84} checkout=${1:-${LEARN2LEARN:-}}
program=build/release/apps/fewatoms
fail() {
  echo "$1" >&2
  exit 2
}
[[ -x $program ]] || fail "$program is not there: cmake --preset release && cmake --build --preset release"
[[ -z $checkout || -f $checkout/learn2learn/algorithms/maml.py ]] || fail "'$checkout' is no checkout of learn2learn"
tcmalloc=$(ldconfig -p | awk '/libtcmalloc_minimal.so.4 /{path = $NF} END {print path}')
[[ -n $tcmalloc ]] || fail "libtcmalloc_minimal is not there: cmake/install-deps.sh"
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

peer() {  # peer NAME JOB ROUND METHOD WIDTH SHOTS [MORE...]
  LD_PRELOAD=$tcmalloc /usr/bin/python3 tests/bench/peers.py --method "$4" --width "$5" --shots "$6" \
    --image-size "$size" --threads "$THREADS" --repeat "$repeat" "${@:7}" >"$results/$2.$1.$3.json"
}
bench() {  # bench NAME JOB ROUND BENCHMARK [OPTIONS...]
  "$program" bench "$4" --image-size "$size" --threads "$THREADS" --repeat "$repeat" \
    --json "$results/$2.$1.$3.json" "${@:5}" >/dev/null
}

for ((round = 1; round <= ROUNDS; ++round)); do
  echo "round $round of $ROUNDS" >&2
  while read -r job method width shots; do
    peer pytorch "$job" $round "$method" "$width" "$shots"
    [[ -z $checkout ]] || peer learn2learn "$job" $round "$method" "$width" "$shots" --learn2learn "$checkout"
    bench fewatoms "$job" $round iteration --method "$method" --width "$width" --shots "$shots"
  done <<'JOBS'
second maml 32 1
first fomaml 32 1
conv4-64-5shot maml 64 5
conv4-64-anil anil 64 1
JOBS
  for shots in 1 5; do
    bench maml "whole-$shots" $round iteration --method maml --shots $shots
    bench acdc "whole-$shots" $round iteration --method acdc-maml --shots $shots
    for width in 32 64; do
      for atoms in 6 3; do
        bench fewatoms "step-$atoms-$width-$shots" $round inner-step --method acdc-maml --atoms $atoms \
          --width $width --shots $shots
      done
    done
  done
  bench fewatoms scaling $round iteration --scaling
  bench fewatoms loader $round loader --augment crop-jitter-flip \
    ${MINI_IMAGENET:+--dataset mini-imagenet --data-root "$MINI_IMAGENET"}
  bench fewatoms evaluate $round evaluate --width 64 --repeat 1
done

/usr/bin/python3 - "$results" <<'TABLE'
import glob, json, os, statistics, sys

rounds = {}
for path in sorted(glob.glob(sys.argv[1] + "/*.json")):
    job, name, _, _ = os.path.basename(path).split(".")
    rounds.setdefault((job, name), []).append(json.load(open(path)))


def median(job, name, *keys):
    def field(result):
        for key in keys:
            result = result[key]
        return result

    return statistics.median(field(result) for result in rounds[job, name])


machine = rounds["second", "fewatoms"][0]["machine"]
print(f"{machine['processor']}, {os.environ['THREADS']} threads, medians of {os.environ['ROUNDS']} rounds; "
      f"multiply-adds {median('second', 'fewatoms', 'machine', 'all_threads', 'gflops'):.0f} GFLOP/s\n")
print("| job | peer | peer s | fewatoms s | ratio |\n| --- | --- | --- | --- | --- |")
for job, text in (("second", "reference, second order"), ("first", "reference, first order"),
                  ("conv4-64-5shot", "Conv4-64, 5-shot, second order"), ("conv4-64-anil", "Conv4-64, 1-shot, anil")):
    ours = median(job, "fewatoms", "median_s")
    for peer in ("pytorch", "learn2learn"):
        if (job, peer) in rounds:
            theirs = median(job, peer, "median_s")
            print(f"| {text} | {peer} | {theirs:.3f} | {ours:.3f} | {theirs / ours:.2f} |")

print("\n| what | against | seconds | seconds | ratio |\n| --- | --- | --- | --- | --- |")
for atoms in (6, 3):
    for width in (32, 64):
        for shots in (1, 5):
            job = f"step-{atoms}-{width}-{shots}"
            a, b = (median(job, "fewatoms", subject, "inner_step_s") for subject in ("asked", "standard"))
            print(f"| inner step, M = {atoms}, Conv4-{width}, {shots}-shot | standard, scope all "
                  f"| {a:.5f} | {b:.5f} | {a / b:.3f} |")
for shots in (1, 5):
    a, b = (median(f"whole-{shots}", name, "median_s") for name in ("acdc", "maml"))
    print(f"| acdc-maml iteration, M = 6, {shots}-shot | maml | {a:.3f} | {b:.3f} | {a / b:.3f} |")
for job, text, against, keys in (
        ("scaling", "1 thread over all, of the multiply-add loop's", "", ("scaling_ratio",)),
        ("evaluate", "10,000 protonet episodes, Conv4-64", "one pass over the split's images", ("ratio",)),
        ("loader", "iteration with the loader, augmented", "tasks in memory", ("ratio",))):
    print(f"| {text} | {against} | | | {median(job, 'fewatoms', *keys):.3f} |")

print("\npeak memory of the reference job, MiB: " + ", ".join(
    f"{name} {median('second', name, key):.0f}"
    for name, key in (("fewatoms", "peak_memory_mb"), ("pytorch", "peak_rss_mb"), ("learn2learn", "peak_rss_mb"))
    if ("second", name) in rounds))
TABLE
