agent=/usr/local/bin/agent
[ -x "$agent" ] || { echo "agent user-data: $agent is missing in this image: bake it in, or render with --template fetch" >&2; exit 127; }
exec "$agent" boot --user-data "$0"
