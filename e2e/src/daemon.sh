# Runs a program in the background, and signals it by command: one line of stdin is the name of one signal. The answer is
# one line, too.
# $1: the file for its output; the rest: the program and its arguments.
# This shell is the first process of a PID namespace. When it ends, because stdin closes, the kernel kills the rest.
trap '' INT TERM HUP QUIT
log=$1
shift
"$@" </dev/null >>"$log" 2>&1 &
while read -r signal; do
	# Without this a program that has ended could still be signalled.
	jobs >/dev/null
	if kill -s "$signal" $! 2>/dev/null; then echo sent; else echo ended; fi
done
