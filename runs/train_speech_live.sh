#!/usr/bin/env bash
# How the shipped `speech-live` weights were made: from nothing, on one CPU thread. $1: the packed corpus, $2: the development set, $3: the folder for the runs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
speech=(--data "$1" --validate "$2" --cache "$3/cache" --source-weights librispeech 3.5 speech_to_intent 2.5 kokoro 2.0)
q2d2 train --preset speech-live "${speech[@]}" --out "$3/reconstruction" --minutes "${MINUTES:-42}" --discriminators none --learning-rate 1.2e-3 --decay-from 0.4
# against the discriminators of `speech`: they know speech, whoever made it
mkdir -p "$3/start" && cp "$3/reconstruction/model/"* "$here/q2d2/models/speech/discriminators.safetensors" "$3/start/"
q2d2 train --from "$3/start" "${speech[@]}" --out "$3/adversarial" --minutes "${MINUTES:-14}" --adversarial-from 0 --learning-rate 4e-4 --decay-from 0.3
python "$here/runs/interpolate.py" "$3/start" "$3/adversarial/model" 0.75 "$3/speech-live"
