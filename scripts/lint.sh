#!/usr/bin/env bash
# What `make lint` does: all that can be said about the sources without running them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
source scripts/steps.sh

main() {
  begin_steps
  scripts/requirements.sh build
  check_formatting
  check_clippy
  if command -v shellcheck >/dev/null; then
    step 'shell scripts' shellcheck -x .ci/run scripts/*.sh scripts/services/services.sh
  else
    not_checked 'the shell scripts' 'apt-get install shellcheck'
  fi
  if cargo deny --version >/dev/null 2>&1; then
    step 'licences, bans and sources of dependencies' cargo deny --locked check bans licenses sources
    check_advisories
  else
    not_checked 'the dependencies' 'cargo install --locked cargo-deny'
  fi
}

# A tool that not everybody has is named, not demanded.
not_checked() { printf '\nnot checked: %s (%s)\n' "$1" "$2"; }

# The advisories come from a database that has to be fetched. Not to reach it is no fault of the sources.
check_advisories() {
  if cargo deny --locked fetch db >/dev/null 2>&1; then
    step 'advisories on dependencies' cargo deny --locked check advisories
  else
    not_checked 'advisories on dependencies' 'their database could not be fetched'
  fi
}

main
