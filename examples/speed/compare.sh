#!/usr/bin/env bash
# Seconds per meta-iteration of second-order MAML, fewatoms beside plain PyTorch (python3-torch, tcmalloc preloaded), in
# turns in one run on an otherwise idle machine. Needs a release build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
threads=${THREADS:-2} rounds=${ROUNDS:-3} iterations=24
tcmalloc=$(ldconfig -p | awk '/libtcmalloc_minimal.so.4 /{path = $NF} END {print path}')
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for ((round = 1; round <= rounds; ++round)); do
  LD_PRELOAD=$tcmalloc /usr/bin/python3 examples/speed/maml_pytorch.py --threads "$threads"
  build/release/apps/fewatoms train --method maml --dataset strokes --channels 3 --width 32 --image-size 84 --ways 5 --shots 1 \
    --queries 15 --meta-batch 4 --inner-steps 5 --order second --iterations $iterations --val-every 0 --quiet \
    --threads "$threads" --out "$folder/run$round"
  awk -F'"seconds":' -v name="fewatoms" -v threads="$threads" \
    '{ split($2, a, /[,}]/); if (NR > 4) s[++n] = a[1] + 0 }
     END { for (i = 1; i <= n; ++i) for (j = i + 1; j <= n; ++j) if (s[j] < s[i]) { t = s[i]; s[i] = s[j]; s[j] = t }
           printf "%s: median %.3f s per meta-iteration, %d threads\n", name, s[int((n + 1) / 2)], threads }' "$folder/run$round/metrics.jsonl"
done
