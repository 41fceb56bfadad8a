# Makes the namespaces this shell was started in a host of their own, and keeps them until stdin closes.
# $1: a folder on a real disk, for /var/lib/calico; removed at the end.
set -eu
# An interrupt from the terminal also reaches this shell: it must outlive the test to remove the folder.
trap '' INT TERM HUP QUIT
trap 'rm -rf "$1"; remove_cgroups "calico-e2e-${1##*/}"' EXIT

# Containers that were killed with their runtime leave their cgroups: directly below the root, or below that of each
# hierarchy.
remove_cgroups() {
	for group in /sys/fs/cgroup/"$1" /sys/fs/cgroup/*/"$1"; do
		if [ -d "$group" ]; then find "$group" -depth -type d -exec rmdir {} \;; fi
	done
}

mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/netns
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir /var/lib/calico
mount --bind "$1" /var/lib/calico
for folder in /etc/cni /opt/cni; do
	if [ -d "$folder" ]; then mount -t tmpfs -o mode=755 tmpfs "$folder"; fi
done

# The kernel answers ARP for a container's gateway, 169.254.1.1, only if it has another way to reach that address.
ip link set lo up
ip link add uplink type veth peer name wire
ip link set wire up
ip link set uplink up
ip address add 172.30.0.1/24 dev uplink
ip address add fd30::1/64 dev uplink nodad
ip route add default via 172.30.0.254
ip -6 route add default via fd30::fe
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding

echo ready
cat >/dev/null
