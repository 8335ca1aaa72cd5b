#!/bin/sh
# Trains the model of artifacts/model in two stages: heads of every kind, then a
# short while in which masks learn not to mind how much air there is.
#
#   shipped.sh CHANNELS OUT     as local.sh has them; OUT gets model.tar.gz
#
# PYTHON, PROCESSES: as local.sh has them. BFLOAT16 is true by default; say false
# on processors without AVX512-BF16 or AMX. CACHE keeps derived volumes.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
common="--batch_size 8 --threads 1 --bfloat16 ${BFLOAT16:-true} --compile true ${CACHE:+--cache $CACHE}"
# shellcheck disable=SC2086 # common is several words
"$here/local.sh" "$1" "$2/heads" $common --epochs 30 --evaluate_every 4
# shellcheck disable=SC2086
"$here/local.sh" "$1" "$2" $common --start_from "$2/heads/checkpoints/checkpoint.pt" --steps 400 --learning_rate 5e-4 --warm_up 30 \
	--ema 0.99 --sizes 192 --air_weight 0.7 --seed 2
