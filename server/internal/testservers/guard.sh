# guard FOLDER SIGNAL COMMAND...: see the type guard in server.go.
dir=$1 crash=$2
shift 2
pid= keep=
while read -r word signal; do
  case $word in
  start)
    "$@" </dev/null >>"$dir/log" 2>&1 &
    pid=$!
    echo $pid
    ;;
  stop)
    kill -"$signal" $pid
    wait $pid 2>/dev/null
    pid=
    echo stopped
    ;;
  keep) keep=yes ;;
  esac
done
if [ "$pid" ]; then
  kill -CONT $pid 2>/dev/null
  kill -"$crash" $pid 2>/dev/null
  wait $pid 2>/dev/null
fi
[ "$keep" ] || rm -rf "$dir"
