# Makes a host ready for a container runtime.
# $1: the list of plugins to use; the rest: the plugins.
set -eu

# Runtimes look there and nowhere else; the machine may not have the folders.
for folder in /etc/cni /opt/cni; do
	parent=${folder%/cni}
	if [ ! -d "$folder" ]; then
		mkdir -p "/run/over$parent/upper" "/run/over$parent/work"
		options="lowerdir=$parent,upperdir=/run/over$parent/upper,workdir=/run/over$parent/work"
		mount -t overlay -o "$options" overlay "$parent"
	fi
done
mkdir -p /etc/cni/net.d /opt/cni/bin
printf %s "$1" >/etc/cni/net.d/10-calico.conflist
shift
ln -s "$@" /opt/cni/bin/

# What containers see: a static busybox.
for folder in bin dev etc proc run sys tmp; do mkdir -p "/run/rootfs/$folder"; done
cp "$(command -v busybox)" /run/rootfs/bin/
