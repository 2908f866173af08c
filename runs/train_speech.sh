#!/usr/bin/env bash
# How the shipped `speech` weights were trained: one CPU thread, 107 minutes, from nothing (docs/log.md has what differed on the way: lower weights of
# root_mel and pitch until step 6,400, a second thread at the end). $1: the packed corpus, $2: the development set, $3: the run's folder.
set -euo pipefail
OMP_NUM_THREADS=1 q2d2 train --preset speech --data "$1" --validate "$2" --out "$3" --minutes 107 --average 0.999 \
  --source-weights librispeech 3.5 speech_to_intent 2.5 kokoro 2.0
