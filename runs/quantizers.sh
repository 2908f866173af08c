#!/usr/bin/env bash
# Six quantizers in one small model, and one that quantizes nothing: same encoder, decoder, data and steps, 12.7-12.8 bits per frame; two seeds each.
# $1: the packed corpus, $2: the development set, $3: the folder for the models, rows and tables. Started again after a kill it goes on where it was.
set -euo pipefail
OMP_NUM_THREADS=1 q2d2 ablate --presets base-rhombic base-rectangular base-hexagonal base-regular-hexagonal base-fsq base-vq base-identity \
  --seeds 0 1 --steps "${STEPS:-800}" --discriminators none --precision bfloat16 \
  --data "$1" --validate "$2" --out "$3" --cache "$3/../cache" --jobs "${JOBS:-2}"
