#!/bin/sh
# agent-user-data protocol=1 template=fetch
{
MINT_BOOTSTRAP_URL='https://example.org/agent'
MINT_BOOTSTRAP_SHA256='0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a'
unset MINT_USER_BOOTSTRAP
MINT_USER_BOOTSTRAP='IyEvYmluL3NoCmVjaG8gaGkK'
fail() { echo "agent user-data: $*" >&2; exit 1; }
# /tmp and /run may be noexec, and others may write to /tmp.
umask 022
dir=/var/lib/agent/bin
{ mkdir -p "$dir" && tmp=$(mktemp -d "$dir/.fetch.XXXXXX"); } || fail "$dir cannot be written: nothing was run"
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
# By standard input: an address may hold a signature, and others see arguments.
get() {
    if command -v curl >/dev/null; then
        printf 'url = "%s"\n' "$MINT_BOOTSTRAP_URL" |
            timeout 120 curl -fsSL --proto =https --connect-timeout 10 -o "$tmp/agent" -K -
    elif command -v wget >/dev/null; then
        printf '%s\n' "$MINT_BOOTSTRAP_URL" | timeout 120 wget -q -t 1 -T 10 -O "$tmp/agent" -i -
    else
        fail "neither curl nor wget is in this image: nothing was run"
    fi
}
n=1
until get; do
    [ "$n" -lt 5 ] || fail "the agent cannot be downloaded ($n attempts): nothing was run"
    sleep $((n * 2 + $(od -An -N1 -tu1 /dev/urandom) % 3))
    n=$((n + 1))
done
echo "$MINT_BOOTSTRAP_SHA256  $tmp/agent" | sha256sum -c - >/dev/null 2>&1 ||
    fail "the download has another SHA-256 than MINT_BOOTSTRAP_SHA256: nothing of it was run"
{ chmod 755 "$tmp/agent" && mv -f "$tmp/agent" "$dir/agent"; } ||
    fail "$dir/agent cannot be written: nothing was run"
rm -rf "$tmp"
exec "$dir/agent" boot --user-data "$0"
}
# agent-user-data end
