#!/bin/sh
# Runs a command on two cores while four other processes keep both busy, and ends
# them with it. By stress-ng where that is installed (Debian package stress-ng).
#
#	internal/dev/busy.sh make run
set -eu
[ $# -gt 0 ] || { echo "usage: $0 COMMAND..." >&2; exit 2; }

# Every process started from here has the two cores alone.
if [ -z "${BUSY_CORES:-}" ] && command -v taskset >/dev/null; then
	BUSY_CORES=0,1 exec taskset -c 0,1 "$0" "$@"
fi

# However this script ends, its load does: the loops look for it themselves, and
# stress-ng, which cannot, is not given longer than anybody waits.
main=$$
loop() {
	while kill -0 "$main" 2>/dev/null; do
		i=0
		while [ "$i" -lt 100000 ]; do i=$((i + 1)); done
	done
}
if command -v stress-ng >/dev/null; then
	stress-ng --quiet --cpu 4 --timeout 90m &
	load=$!
else
	load=
	for _ in 1 2 3 4; do
		loop &
		load="$load $!"
	done
fi
# shellcheck disable=SC2086 # several numbers
trap 'kill $load 2>/dev/null || true; wait $load 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

"$@"
