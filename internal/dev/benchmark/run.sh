#!/bin/sh
# Builds the contestants of the benchmark and runs it; see README.md. Arguments
# go to the benchmark program (-help lists them).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../../.." && pwd)
build=$here/.build
cd "$root"

fail() {
	echo "benchmark: $*" >&2
	exit 1
}

for tool in go cc node npm python3; do
	command -v "$tool" >/dev/null 2>&1 || fail "$tool was not found"
done
[ -f artifacts/model/manifest.json ] || fail "artifacts/model is missing"
mkdir -p "$build"
artifacts/onnxruntime/fetch.sh
library=$root/artifacts/onnxruntime/linux-$(go env GOARCH)

echo '#include <png.h>' | cc -E - >/dev/null 2>&1 || fail "libpng's headers were not found; install libpng-dev (Debian) or libpng-devel (Fedora)"
cc -O2 -o "$build/c" "$here/c/contestant.c" "-I$(go list -m -f '{{.Dir}}' github.com/yalue/onnxruntime_go)" \
	-lpng "$library/libonnxruntime.so.1" "-Wl,-rpath,$library"

# Without the package's scripts: they would fetch libraries for GPUs.
stamp=$build/node.lock
if ! cmp -s "$here/node/package-lock.json" "$stamp" || ! [ -d "$here/node/node_modules" ]; then
	(cd "$here/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
	cp "$here/node/package-lock.json" "$stamp"
fi

stamp=$build/requirements.txt
if ! cmp -s "$here/python/requirements.txt" "$stamp"; then
	python3 -m venv "$build/venv"
	"$build/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements.txt"
	cp "$here/python/requirements.txt" "$stamp"
fi

go build -o bin/brainseg ./component
go build -o "$build/benchmark" ./internal/dev/benchmark
exec "$build/benchmark" -root "$root" "$@"
