#!/usr/bin/env bash
# Other people's Salesforce clients, unchanged, against the simulator.
#
#   clients.sh fetch      makes the Python environment that `test` needs, once
#   clients.sh test       builds the simulator and runs the clients against it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
source scripts/steps.sh
# shellcheck source=scripts/services/common.sh
source scripts/services/common.sh

clients=simulator/tests/clients
# Named after what it is made from, so another version is fetched anew.
environment=$services_cache/clients-$(cksum <"$clients/requirements.txt" | cut -d ' ' -f 1)

# The environment appears whole or not at all, however this ends. It is made in its place, as it cannot be moved.
fetch() {
  [[ ! -e $environment/complete ]] || return 0
  local log=$environment.log
  say 'fetching simple-salesforce (25 MB, once)'
  rm -rf "$environment"
  mkdir -p "$services_cache"
  if ! {
    python3 -m venv "$environment" &&
      "$environment/bin/pip" install --disable-pip-version-check --no-input --only-binary :all: \
        --requirement "$clients/requirements.txt"
  } >"$log" 2>&1 </dev/null; then
    grep -m 5 ERROR "$log" >&2 || tail -n 5 "$log" >&2
    fail "simple-salesforce could not be fetched (all it said: $log)"
  fi
  touch "$environment/complete"
}

test_clients() {
  fetch
  cargo build "${cargo_options[@]}" --bin salesforce-simulator
  local program
  program=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/debug/salesforce-simulator
  SALESFORCE_SIMULATOR=$program "$environment/bin/python" -B -m unittest discover --start-directory "$clients"
}

case ${1:-} in
  fetch) fetch ;;
  test) test_clients ;;
  *)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
