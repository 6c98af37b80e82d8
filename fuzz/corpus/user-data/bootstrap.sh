#!/usr/bin/env bash
# An example user script: it runs last, as the sandbox user, with the tools on PATH.
set -euo pipefail

echo "I am $(id -un) in $HOME, on $(uname -s)"
mkdir -p ~/projects
git config --global init.defaultBranch main 2>/dev/null || echo "no git here"
echo "ready" > ~/projects/hello.txt
