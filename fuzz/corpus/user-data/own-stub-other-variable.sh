#!/bin/sh
# agent-user-data protocol=1 template=baked
{
export MINT_EFS_ID='fs-0123456789abcdef0'
export MINT_PROJECT_DEV='/dev/sdf'
export MINT_OTHER='a b'
export MINT_IDLE_TIMEOUT='90'
unset MINT_USER_BOOTSTRAP
MINT_USER_BOOTSTRAP='IyEvYmluL3NoCmVjaG8gaGkK'
agent=/usr/local/bin/agent
[ -x "$agent" ] || { echo "agent user-data: $agent is missing in this image: bake it in, or render with --template fetch" >&2; exit 127; }
exec "$agent" boot --user-data "$0"
}
# agent-user-data end
