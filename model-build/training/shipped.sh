#!/bin/sh
# Trains the model of artifacts/model in two stages: heads of every kind, from the
# weights of model 1.0.0, then a shorter while in which masks learn not to mind
# where on the pixel grid a head lies, and which side is left.
#
#   shipped.sh CHANNELS OUT     as local.sh has them; OUT gets model.tar.gz
#
# PYTHON, PROCESSES: as local.sh has them. BFLOAT16 is true by default; say false
# on processors without AVX512-BF16 or AMX. CACHE keeps derived volumes.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
common="--network enet --batch_size 8 --threads 1 --bfloat16 ${BFLOAT16:-true} --compile true --version 2.0.0 ${CACHE:+--cache $CACHE}"
# shellcheck disable=SC2086 # common is several words
"$here/local.sh" "$1" "$2/heads" $common --start_from "$here/start/brainseg-enet-1.0.0.onnx" --steps 2000 --stop_at 548 \
	--learning_rate 5e-4 --warm_up 50 --sizes 208 --evaluate_every 8
# shellcheck disable=SC2086
"$here/local.sh" "$1" "$2" $common --start_from "$2/heads/checkpoints/checkpoint.pt" --steps 180 --learning_rate 4.5e-4 --warm_up 20 \
	--ema 0.98 --sizes 208 --air_weight 0.7 --seed 2
