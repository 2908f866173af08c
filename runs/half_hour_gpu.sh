#!/usr/bin/env bash
# Half an hour of one GPU for `speech`, in slots of at most ten minutes that each end with finished weights, the next starting from the last.
# $1: the packed corpus, $2: the development set, $3: the folder for the runs. A slot of its own per call: SLOT=1, 2, 3 runs that one alone.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
start=(--from "${START:-$here/q2d2/models/speech}") # START: another model or run
for slot in 1 2 3; do
  if [ "${SLOT:-$slot}" = "$slot" ]; then
    q2d2 train "${start[@]}" --data "$1" --validate "$2" --out "$3/slot-$slot" --minutes "${MINUTES:-9}" --batch 64 --workers 8 --cache "$3/cache" \
      --adversarial-from 0 --source-weights librispeech 3.5 speech_to_intent 2.5 kokoro 2.0
  fi
  start=(--from "$3/slot-$slot")
done
