#!/usr/bin/env bash
# image/build.sh FOLDER PLUGINS
#
# Makes an image of the executables in FOLDER (calico, calico-ipam, calico-install) and of the CNI reference plugins in
# PLUGINS. It leaves FOLDER/calico-install-image, the files of the image, which is the context of image/Containerfile,
# and FOLDER/calico-install-image.tar, the same as an OCI archive: for `ctr -n k8s.io images import`, `podman load`,
# `skopeo copy oci-archive:...`. No daemon is needed.
#
# The same executables make the same bytes, wherever, whenever and by whom it is run, with the same releases of gzip and
# Go. SOURCE_DATE_EPOCH, in seconds, is the time that files and image have (0 where it is not set).
set -euo pipefail
export LC_ALL=C TZ=UTC0
umask 022

# The architecture of the Makefile's TARGET.
architecture=amd64
# In bytes, of the archive.
limit=$((20 * 1024 * 1024))
epoch=${SOURCE_DATE_EPOCH:-0}

fail() {
    echo "image: $*" >&2
    exit 1
}

[ $# = 2 ] || fail 'give it the folder of the executables, and that of the CNI reference plugins'
executables=$(cd "$1" && pwd)
plugins=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
case $(tar --version) in *'GNU tar'*) ;; *) fail 'GNU tar is missing: apt-get install tar' ;; esac
command -v go >/dev/null || fail 'Go is missing, which knows what the plugins are made of: https://go.dev/dl'
version=$(awk -F'"' '/^version = /{ print $2; exit }' Cargo.toml)
name=localhost/calico-install:$version

new=$(mktemp -d "$executables/.image-XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' INT TERM HUP
root=$new/root
blobs=$new/oci/blobs/sha256
mkdir -p "$root" "$blobs"

## The files ---------------------------------------------------------------------------------------------------------

# place MODE FILE PATH
place() {
    [ -f "$2" ] || fail "$2 is missing: make build servers"
    install -D -m "$1" "$2" "$root/$3"
}

place 755 "$executables/calico-install" usr/bin/calico-install
for plugin in calico calico-ipam; do
    place 755 "$executables/$plugin" "opt/cni/bin/$plugin"
    # Where the pods of a cluster call them by path: `calico-ipam -upgrade`.
    ln -s "../../opt/cni/bin/$plugin" "$root/usr/bin/$plugin"
done
# What the list of plugins names, and what container runtimes want: containerd sets up no pod without loopback.
for plugin in bandwidth host-local loopback portmap tuning; do
    place 755 "$plugins/$plugin" "opt/cni/bin/$plugin"
done

# Every module that is in the reference plugins, with the texts that its licence wants to go along.
place 644 LICENSE licenses/LICENSE
place 644 "$(cd e2e/tools/plugins && go env GOROOT)/LICENSE" licenses/go/std/LICENSE
modules=$(go version -m "$root"/opt/cni/bin/{bandwidth,host-local,loopback,portmap,tuning} |
    awk '$1 == "mod" || $1 == "dep" { print $2 "@" $3 }' | sort -u)
for module in $modules; do
    # It is there, as the plugins were built from it, or is fetched.
    source=$(cd e2e/tools/plugins && go mod download -json "$module" | awk -F'"' '$2 == "Dir" { print $4 }') || source=
    [ -n "$source" ] || fail "no source of $module, which has its licence: try go mod download $module in e2e/tools/plugins"
    found=
    for text in "$source"/LICENSE* "$source"/NOTICE* "$source"/COPYING*; do
        [ -f "$text" ] || continue
        place 644 "$text" "licenses/go/$module/${text##*/}"
        found=yes
    done
    [ -n "$found" ] || fail "$module has no licence text in $source"
done

## The archive -------------------------------------------------------------------------------------------------------

# pack FOLDER NAMES: as a tar archive on stdout, in which nothing depends on who made the files, and when.
pack() {
    local folder=$1
    shift
    tar -C "$folder" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" \
        --mode='a-st,u=rwX,go=rX' -cf - "$@"
}

# digest FILE
digest() {
    local sum
    sum=$(sha256sum "$1")
    echo "${sum%% *}"
}

# blob FILE: moves it to the blobs, and prints what a descriptor says about it.
blob() {
    local sum size
    sum=$(digest "$1")
    size=$(stat -c %s "$1")
    mv "$1" "$blobs/$sum"
    echo "\"digest\":\"sha256:$sum\",\"size\":$size"
}

created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
oci=application/vnd.oci.image

pack "$root" licenses opt usr >"$new/layer.tar"
uncompressed=$(digest "$new/layer.tar")
gzip -n "$new/layer.tar"
layer=$(blob "$new/layer.tar.gz")

cat >"$new/config" <<EOC
{"created":"$created","architecture":"$architecture","os":"linux",\
"config":{"Entrypoint":["/usr/bin/calico-install"],"Labels":{\
"org.opencontainers.image.licenses":"Apache-2.0",\
"org.opencontainers.image.title":"calico-install",\
"org.opencontainers.image.version":"$version"}},\
"rootfs":{"type":"layers","diff_ids":["sha256:$uncompressed"]},\
"history":[{"created":"$created","created_by":"image/build.sh"}]}
EOC
config=$(blob "$new/config")

cat >"$new/manifest" <<EOC
{"schemaVersion":2,"mediaType":"$oci.manifest.v1+json",\
"config":{"mediaType":"$oci.config.v1+json",$config},\
"layers":[{"mediaType":"$oci.layer.v1.tar+gzip",$layer}]}
EOC
manifest=$(blob "$new/manifest")

# containerd takes the name from its own annotation, the others from the standard's.
cat >"$new/oci/index.json" <<EOC
{"schemaVersion":2,"mediaType":"$oci.index.v1+json","manifests":[\
{"mediaType":"$oci.manifest.v1+json",$manifest,\
"platform":{"architecture":"$architecture","os":"linux"},\
"annotations":{"io.containerd.image.name":"$name","org.opencontainers.image.ref.name":"$name"}}]}
EOC
echo '{"imageLayoutVersion":"1.0.0"}' >"$new/oci/oci-layout"
pack "$new/oci" oci-layout index.json blobs >"$new/archive"

size=$(stat -c %s "$new/archive")
figures=$(awk -v s="$size" -v l="$limit" 'BEGIN { printf "%.2f MiB of at most %d", s / 1048576, l / 1048576 }')
[ "$size" -le "$limit" ] || fail "$name has become too large: $figures"
rm -rf "$executables/calico-install-image"
mv "$root" "$executables/calico-install-image"
mv "$new/archive" "$executables/calico-install-image.tar"
manifest=${manifest#*sha256:}
echo "image: $executables/calico-install-image.tar: $name, $figures, sha256:${manifest%%\"*}"
