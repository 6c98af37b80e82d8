#!/usr/bin/env bash
# A stub as the parents' contract describes it: placeholders that a launcher fills, the
# variables that it exports, then download, check, exec. Don't let it run by itself.
set -euo pipefail

export MINT_EFS_ID="__MINT_EFS_ID__"
export MINT_PROJECT_DEV="__MINT_PROJECT_DEV__"
export MINT_VM_NAME="__MINT_VM_NAME__"
export MINT_IDLE_TIMEOUT="__MINT_IDLE_TIMEOUT__"
export MINT_USER_BOOTSTRAP="__MINT_USER_BOOTSTRAP__"

url="__MINT_BOOTSTRAP_URL__"
sha256="__MINT_BOOTSTRAP_SHA256__"
target="$(mktemp -d)/bootstrap.sh"

for attempt in 1 2 3; do
  if curl --fail --silent --show-error --location "$url" --output "$target"; then
    break
  fi
  sleep "$attempt"
done
if ! echo "$sha256  $target" | sha256sum --check --quiet; then
  echo "the provisioning script isn't what was promised" >&2
  exit 1
fi
chmod 0700 "$target"
exec "$target"
