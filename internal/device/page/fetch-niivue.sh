#!/bin/sh
# Brings NiiVue, which shows whole scans on the page, from its npm registry package
# into assets/niivue.js.gz: one file of the package as it is, compressed. It is run
# for a new version only; the file is kept with the source, for whoever builds has
# no use for npm. assets/niivue-licences.txt goes with it, by hand.
#
# npm finds the registry by its own configuration. No script of the package is run.
set -eu

version=0.69.0
tarball_sha256=6e9a6a471b428eb3b258a0086beca9187d95e43a781a39e8a519c6da246af485
script_sha256=47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

cd "$work"
npm pack "@niivue/niivue@$version" --ignore-scripts --silent >/dev/null
echo "$tarball_sha256  niivue-niivue-$version.tgz" | sha256sum -c --quiet
tar -xzf "niivue-niivue-$version.tgz" package/dist/niivue.umd.js
echo "$script_sha256  package/dist/niivue.umd.js" | sha256sum -c --quiet
gzip -9nc package/dist/niivue.umd.js >niivue.js.gz
mv niivue.js.gz "$here/assets/niivue.js.gz"
echo "NiiVue $version is in assets/niivue.js.gz" >&2
