#!/bin/sh
# Plays SageMaker's folder contract on this machine: trains on the channels of a
# folder, and leaves model.tar.gz as a training job does.
#
#   local.sh CHANNELS OUT [HYPERPARAMETER...]
#
#   CHANNELS  folder with train/, and test/ and labelmaps/ where there are any
#             (prepare makes them)
#   OUT       folder for model.tar.gz, model/, output/ and checkpoints/; a second
#             call with the same OUT goes on from the checkpoint
#   HYPERPARAMETER  as train.py takes them: --epochs 10 --network unet
#
# PYTHON     the interpreter, python3 by default; requirements*.txt say what it needs
# PROCESSES  how many processes train together, 1 by default. On a machine that
#            does other work, one process a core, each with --threads 1, loses
#            less time than one process with many threads.
set -eu

[ $# -ge 2 ] || {
	sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p;}' "$0" >&2
	exit 2
}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
channels=$(CDPATH='' cd -- "$1" && pwd)
mkdir -p "$2"
out=$(CDPATH='' cd -- "$2" && pwd)
shift 2
python=${PYTHON:-python3}
processes=${PROCESSES:-1}

export SM_CHANNEL_TRAIN="$channels/train"
[ ! -d "$channels/test" ] || export SM_CHANNEL_TEST="$channels/test"
[ ! -d "$channels/labelmaps" ] || export SM_CHANNEL_LABELMAPS="$channels/labelmaps"

if [ "$processes" -gt 1 ]; then
	hosts=algo-1
	for i in $(seq 2 "$processes"); do
		hosts="$hosts\",\"algo-$i"
	done
	export SM_HOSTS="[\"$hosts\"]" MASTER_ADDR=127.0.0.1 GLOO_SOCKET_IFNAME="${GLOO_SOCKET_IFNAME:-lo}" OMP_NUM_THREADS=1
fi

pids=
trap 'kill $pids 2>/dev/null || true' INT TERM
for i in $(seq "$processes" -1 1); do
	# The first host's folders are the result; the others write nothing there.
	folder=$out
	[ "$i" -eq 1 ] || folder=$out/.host-$i
	mkdir -p "$folder/model" "$folder/output" "$folder/checkpoints"
	SM_CURRENT_HOST=algo-$i SM_MODEL_DIR="$folder/model" SM_OUTPUT_DATA_DIR="$folder/output" BRAINSEG_CHECKPOINTS="$folder/checkpoints" \
		"$python" "$here/train.py" "$@" &
	pids="$pids $!"
done
status=0
for pid in $pids; do
	wait "$pid" || status=$?
done
[ "$status" -eq 0 ] || exit "$status"
rm -rf "$out"/.host-*

# As SageMaker tars: the content of the model folder, without the folder.
tar -C "$out/model" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - . | gzip -n >"$out/model.tar.gz.partial"
mv "$out/model.tar.gz.partial" "$out/model.tar.gz"
echo "$out/model.tar.gz"
