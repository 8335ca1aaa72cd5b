#!/bin/sh
# Brings the ONNX Runtime shared library from its npm registry package into
# linux-<arch>/libonnxruntime.so.1 beside this script. README.md says more.
#
#   fetch.sh [PLATFORM...]    linux-amd64, linux-arm64; default: this machine's
#
# npm finds the registry by its own configuration. No script of the package is
# run. Nothing happens where the right library is already there.
set -eu

version=1.24.3
tarball_sha256=aa1bb5fa261ea68de05dd53efbba210cd7adf2d2850f4c3a201054c74cc78040
amd64_sha256=92ba8e44d31b80a34f5e805076a044122c3be1fffe0d88ed790de7267b0b2682
arm64_sha256=33032cb5b91c12edbf028d7c69fa40a31848d66c0095448758af237d5e0b07db

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail() {
	echo "fetch ONNX Runtime $version: $*" >&2
	exit 1
}

sha256() {
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum "$1" | cut -d ' ' -f 1
	else
		shasum -a 256 "$1" | cut -d ' ' -f 1
	fi
}

this_platform() {
	[ "$(uname -s)" = Linux ] || fail "this is not Linux; name the platforms to fetch: linux-amd64 or linux-arm64"
	case $(uname -m) in
	x86_64 | amd64) echo linux-amd64 ;;
	aarch64 | arm64) echo linux-arm64 ;;
	*) fail "there is no build for $(uname -m); there are linux-amd64 and linux-arm64" ;;
	esac
}

# describe sets member and wanted_sha256 for a platform.
describe() {
	case $1 in
	linux-amd64) member=package/bin/napi-v6/linux/x64/libonnxruntime.so.1 wanted_sha256=$amd64_sha256 ;;
	linux-arm64) member=package/bin/napi-v6/linux/arm64/libonnxruntime.so.1 wanted_sha256=$arm64_sha256 ;;
	*) fail "unknown platform $1; there are linux-amd64 and linux-arm64" ;;
	esac
}

if [ $# -eq 0 ]; then
	platform=$(this_platform) || exit 1
	set -- "$platform"
fi

command -v sha256sum >/dev/null 2>&1 || command -v shasum >/dev/null 2>&1 ||
	fail "neither sha256sum nor shasum was found; install coreutils"

missing=
for platform; do
	describe "$platform"
	library=$here/$platform/libonnxruntime.so.1
	if ! [ -f "$library" ] || [ "$(sha256 "$library")" != "$wanted_sha256" ]; then
		missing="$missing $platform"
	fi
done
[ -n "$missing" ] || exit 0

command -v npm >/dev/null 2>&1 || fail "npm was not found; install Node.js, or put the library in place by hand (see $here/README.md)"

# Inside this folder, so that the last step is a rename on one file system.
work=$(mktemp -d "$here/linux-fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

echo "fetching onnxruntime-node@$version (86 MB) for$missing" >&2
(cd "$work" && npm pack "onnxruntime-node@$version" --ignore-scripts --silent >npm.out 2>npm.err) || {
	cat "$work/npm.out" "$work/npm.err" >&2
	fail "npm pack failed; check the network and npm's registry setting (npm config get registry)"
}
tarball=$work/onnxruntime-node-$version.tgz
[ -f "$tarball" ] || fail "npm pack left no onnxruntime-node-$version.tgz"
actual=$(sha256 "$tarball")
[ "$actual" = "$tarball_sha256" ] || fail "the package has sha256 $actual instead of $tarball_sha256; the registry serves something else, nothing was changed"

for platform in $missing; do
	describe "$platform"
	tar -xzf "$tarball" -C "$work" "$member" || fail "cannot extract $member"
	actual=$(sha256 "$work/$member")
	[ "$actual" = "$wanted_sha256" ] || fail "$member has sha256 $actual instead of $wanted_sha256"
	mkdir -p "$here/$platform"
	chmod 0644 "$work/$member"
	cp "$here/LICENSE" "$here/$platform/LICENSE"
	mv -f "$work/$member" "$here/$platform/libonnxruntime.so.1"
	echo "$platform/libonnxruntime.so.1 is ready" >&2
done
