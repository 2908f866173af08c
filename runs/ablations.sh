#!/usr/bin/env bash
# The models of Tables 8-12 and their twins at matched bits, one after the other, by the paper's recipe: q2d2/presets.py says which is which.
# $1: training data, $2: the folder for the runs, $3: steps for each (the paper: 443475 at batch 32). PREFIX=tiny- trains them in miniature.
# A killed run goes on where it was; a finished one is left alone.
set -euo pipefail
for preset in paper-1k grid-rectangular-7 grid-hexagonal-7 grid-rectangular-9 grid-hexagonal-9 grid-regular-hexagonal-9 grid-bcc-8 \
  fsq-9 rvq-2x768 identity dimensions-4 dimensions-8 levels-9 levels-11 paper-3k paper-7k projection-linear projection-layernorm \
  offset-half offset-none bound-extent midpoints-full gradient-rotation gradient-noise official; do
  q2d2 train --preset "${PREFIX:-}$preset" --data "$1" --out "$2/$preset" --steps "$3"
done
