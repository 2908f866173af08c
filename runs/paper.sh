#!/usr/bin/env bash
# The paper's models (Appendix A and the public configuration): LibriTTS train-clean-100, -360 and train-other-500 (585 h, 354,780 clips), 3 s crops,
# batch 16 on each of two GPUs, learning rate 8e-5 falling along a cosine over 40 epochs (40 x 354,780 / 32 steps), MPD + MRD + frozen DAC set, mel x 45.
# $1: 1k, 3k or 7k; $2: the folder of the downloaded LibriTTS archives; $3: where to unpack them; $4: the run's folder.
set -euo pipefail
"$(dirname "${BASH_SOURCE[0]}")/../scripts/prepare_libritts" "$2" "$3"
GPUS=${GPUS:-2}
torchrun --standalone --nproc-per-node "$GPUS" -m q2d2 train --preset "paper-$1" --data "$3/train.txt" --out "$4" \
  --batch 32 --steps "${STEPS:-443475}" --workers 8 --save-minutes 15
