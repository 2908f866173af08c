#!/usr/bin/env bash
# What tokens know of the vowel of a syllable that a new speaker says in another language: 583 recorded syllables (ba, chi, llo, ...) of seven languages
# in Debian's klettres-data (GPL-2+), one speaker a language, each of whom tests once. The label is the last letter of the file's name.
# $1: a folder for the package, $2: the folder for rows and table. Needs apt-get and dpkg-deb; a minute and a half of one core.
set -euo pipefail
mkdir -p "$1"
(cd "$1" && apt-get download klettres-data && dpkg-deb -x klettres-data_*.deb .)
{
  echo path,label,speaker
  (cd "$1" && find usr/share/klettres/{es,it,ml,pt_BR,ru,tn,uk} -name '*.ogg') | LC_ALL=C sort |
    sed -nE 's|^(usr/share/klettres/([^/]+)/[a-z]+/[b-df-hj-np-tv-z]+([aeiou])\.ogg)$|\1,\3,\2|p'
} > "$1/vowels.csv"
OMP_NUM_THREADS=1 q2d2 probe --set folders --data "$1/vowels.csv" --out "$2" --max-s 3
