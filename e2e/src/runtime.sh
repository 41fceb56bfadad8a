# Makes a host with folders for CNI ready for a container runtime.
# $1: the list of plugins to use; the rest: the plugins.
set -eu

mkdir -p /etc/cni/net.d /opt/cni/bin
printf %s "$1" >/etc/cni/net.d/10-calico.conflist
shift
ln -s "$@" /opt/cni/bin/

# What containers see: a static busybox.
for folder in bin dev etc proc run sys tmp; do mkdir -p "/run/rootfs/$folder"; done
cp "$(command -v busybox)" /run/rootfs/bin/
