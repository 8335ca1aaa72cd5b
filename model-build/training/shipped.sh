#!/bin/sh
# Trains the model of artifacts/model from the weights of model 1.0.0, in six
# stages, each from where the one before it ended: slices of every kind; a short
# while in which masks learn not to mind where on the pixel grid a head lies and
# which side is left; then twice again slices of every kind, more of them as good
# as scanners give them (model 2.0.0); at last the two longest, on slices in frames:
# one that minds what is painted outside the brain (2.2.0), and one with more of
# whole heads.
#
#   shipped.sh CHANNELS OUT     as local.sh has them; OUT gets model.tar.gz
#
# PYTHON, PROCESSES: as local.sh has them; the shipped model had PROCESSES=2.
# BFLOAT16 is true by default; say false on processors without AVX512-BF16 or AMX.
# CACHE keeps derived volumes.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
channels=$1
out=$2

# stage OUT START SEED HYPERPARAMETER...
stage() {
	folder=$1
	start=$2
	seed=$3
	shift 3
	# shellcheck disable=SC2086 # the cache is an option and its value, or nothing
	"$here/local.sh" "$channels" "$folder" --network enet --batch_size 8 --threads 1 --bfloat16 "${BFLOAT16:-true}" --compile true \
		--version 2.0.0 --sizes 208 --evaluate_every 4 --balance_slices 0 --judge_slices 0 --start_from "$start" --seed "$seed" ${CACHE:+--cache $CACHE} "$@"
}

better='{"whole":0.42,"stripped":0.32,"transplanted":0.10,"own-stripped":0.03,"synthetic":0.13}'
stage "$out/1" "$here/start/brainseg-enet-1.0.0.onnx" 1 --steps 2000 --stop_at 548 --learning_rate 5e-4 --warm_up 50
stage "$out/2" "$out/1/checkpoints/checkpoint.pt" 2 --steps 180 --learning_rate 4.5e-4 --warm_up 20 --ema 0.98 --air_weight 0.7
stage "$out/3" "$out/2/checkpoints/checkpoint.pt" 3 --steps 700 --learning_rate 6e-4 --warm_up 20 --ema 0.99 --shares "$better"
stage "$out/4" "$out/3/checkpoints/checkpoint.pt" 4 --steps 400 --learning_rate 6e-4 --warm_up 20 --ema 0.985 --shares "$better"
framed='{"whole":0.42,"stripped":0.30,"transplanted":0.10,"own-stripped":0.04,"synthetic":0.14}'
stage "$out/5" "$out/4/checkpoints/checkpoint.pt" 5 --steps 3000 --learning_rate 8e-4 --warm_up 60 --ema 0.997 --outside_weight 1.5 --shares "$framed" \
	--framed true --sizes 192,208
whole='{"whole":0.46,"stripped":0.30,"transplanted":0.07,"own-stripped":0.04,"synthetic":0.13}'
stage "$out" "$out/5/checkpoints/checkpoint.pt" 6 --steps 4000 --learning_rate 7e-4 --warm_up 60 --ema 0.998 --shares "$whole" \
	--framed true --sizes 192,208 --version 2.3.0 --balance_slices 600 --judge_slices 12000
