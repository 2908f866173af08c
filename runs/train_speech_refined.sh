#!/usr/bin/env bash
# `speech-refined` from its linear start: reconstruction first, discriminators in the last quarter.
# $1: the packed corpus, $2: the development set, $3: the run's folder, $4: minutes. The same command goes on where a stopped run was; START (a model's folder) begins with those weights.
set -euo pipefail
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} q2d2 train ${START:+--from "$START"} --preset speech-refined --data "$1" --validate "$2" --out "$3" --minutes "$4" \
  --cache "$3/../cache" --adversarial-from "${ADVERSARIAL_FROM:-0.75}" --source-weights librispeech 3.5 speech_to_intent 2.5 kokoro 2.0
