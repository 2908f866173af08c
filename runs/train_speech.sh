#!/usr/bin/env bash
# How the shipped `speech` weights go on: from the committed ones, or from START (docs/log.md has what each run was).
# $1: the packed corpus, $2: the development set, $3: the run's folder, $4: minutes, then more options of `q2d2 train`. The corpus is decoded into $3/../cache once.
# Version 4: START was version 3 on new grids (as runs/new_grids.py makes it), 112 minutes, --learning-rate 7e-4 --decay-from 0.4 --adversarial-from 0.75 --devices 2
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} q2d2 train --from "${START:-$here/q2d2/models/speech}" --data "$1" --validate "$2" --out "$3" --minutes "$4" \
  --cache "$3/../cache" --source-weights librispeech 3.5 speech_to_intent 2.5 kokoro 2.0 "${@:5}"
