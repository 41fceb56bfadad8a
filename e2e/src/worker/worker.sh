# Runs containerd and a kubelet, and starts each again when it ends, as a service manager does.
# $1: the folder of their configuration and logs; $2: the kubelet's kubeconfig; $3: the node's address; $4: its name.
set -eu
folder=$1

# Of a cgroup namespace, what is its own: the machine's mounts show the machine's.
awk '$3 ~ /^cgroup/ { print $3, $2, $4 }' /proc/mounts | while read -r type root options; do
	umount "$root"
	controller=$(echo "$options" | tr , '\n' | grep -vx -e rw -e ro -e nosuid -e nodev -e noexec -e relatime || :)
	case $type in
	cgroup2)
		mount -t cgroup2 cgroup2 "$root"
		# There, what has children has no processes.
		mkdir -p "$root/services"
		echo $$ >"$root/services/cgroup.procs"
		;;
	*) mount -t cgroup -o "$(echo "$controller" | sed 's/^name=/none,name=/' | paste -sd,)" cgroup "$root" ;;
	esac
done

# Kubelet and containerd mount for each other, and keep logs where the machine has its own.
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /var/log
# On a real disk: in memory, flushing a file would cost nothing.
for name in containerd kubelet; do
	mkdir -p "$folder/$name" "/var/lib/$name"
	mount --bind "$folder/$name" "/var/lib/$name"
done

# $1: a name; the rest: the program and its arguments.
keep() {
	name=$1
	shift
	while :; do
		"$@" >>"$folder/$name.log" 2>&1 &
		echo $! >"/run/$name.pid"
		wait $! || :
		# A service manager waits a moment, too.
		sleep 0.1
	done
}

keep containerd containerd --config "$folder/containerd.toml" &
keep kubelet kubelet --config "$folder/kubelet.yaml" --kubeconfig "$2" --node-ip "$3" --hostname-override "$4" &
echo started
wait
