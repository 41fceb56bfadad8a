# Gives a host folders of its own where runtimes look for lists of plugins and executables, and nowhere else; the machine
# may not have them.
for folder in /etc/cni /opt/cni; do
	parent=${folder%/cni}
	if [ ! -d "$folder" ]; then
		mkdir -p "/run/over$parent/upper" "/run/over$parent/work"
		options="lowerdir=$parent,upperdir=/run/over$parent/upper,workdir=/run/over$parent/work"
		mount -t overlay -o "$options" overlay "$parent"
	fi
done
