# Goes into a cgroup of this name in every hierarchy, and runs a program in a cgroup namespace of its own there: what that
# makes is below it.
# $1: the name; the rest: the program and its arguments.
set -eu
awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | while read -r root; do
	group=$root/$1
	mkdir -p "$group"
	# The older cpuset gives a new group nothing; the newer hierarchy passes on only what it is told to.
	if [ -e "$root/cpuset.sched_load_balance" ]; then
		for setting in cpuset.cpus cpuset.mems; do cat "$root/$setting" >"$group/$setting"; done
	fi
	if [ -e "$root/cgroup.controllers" ]; then
		for controller in $(cat "$root/cgroup.controllers"); do
			# Not every machine lets go of every one.
			echo "+$controller" >"$root/cgroup.subtree_control" || :
		done
	fi
	echo $$ >"$group/cgroup.procs"
done
shift
exec unshare --cgroup -- "$@"
