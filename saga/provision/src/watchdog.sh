# Ends a server whose owner died. Standard input is a pipe that only the owner holds open: it says
# "leave" when the server is no longer to be guarded, and ends when the owner is gone, however it went.
# Arguments: process id, signal to try first, and what to remove afterwards (both may be empty): the
# folder of the data, and the path that its logs and its lock are named after.
trap '' HUP INT QUIT TERM
while read -r word; do
    [ "$word" = leave ] && exit 0
done
kill -s "$2" "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 20 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -s KILL "$1" 2>/dev/null
[ -n "$3" ] || exit 0
tries=0
while ! rm -rf -- "$3" 2>/dev/null && [ "$tries" -lt 20 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
rm -rf -- "$4" "$4".* 2>/dev/null
rmdir -- "${4%/*}" 2>/dev/null
