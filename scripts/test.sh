#!/usr/bin/env bash
# What `make test` does: what needs nothing first, then what needs services. One build of everything, with the crash
# points in it, serves all tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
source scripts/steps.sh

main() {
  begin_steps
  scripts/requirements.sh build
  # Now, while somebody may still be here to give a password. What is missing stops only the tests that need it.
  scripts/requirements.sh test || echo 'going on without' >&2
  local kafka=yes
  scripts/services/services.sh fetch || kafka=no
  local clients=yes
  scripts/clients.sh fetch || clients=no

  check_formatting
  check_clippy
  step 'build' cargo test "${cargo_options[@]}" --no-run
  mapfile -t targets < <(targets_without_services)
  step 'tests that need no service' cargo test "${cargo_options[@]}" --no-fail-fast --lib --bins "${targets[@]}"

  if [[ $clients == yes ]]; then
    step "other people's clients against the simulator" scripts/clients.sh test
  fi
  step "the admin's pages in a browser" with_postgres cargo test "${cargo_options[@]}" --no-fail-fast --test browser
  # They mostly wait as well.
  local services=(env RUST_TEST_THREADS=4 cargo test "${cargo_options[@]}" --no-fail-fast --test services)
  if [[ $kafka == yes ]]; then
    step 'tests with services' scripts/services/services.sh run "${services[@]}"
    # One trial of each row that is short. They mostly wait, so that more go at a time than there are cores.
    step 'the fault suite, in short' scripts/faults.sh --short --trials 1 --jobs 5
    [[ $clients == yes ]] || clients_missing
    return
  fi
  step 'tests with PostgreSQL only' with_postgres "${services[@]}" -- store::
  cat <<'END'

The tests that need Apache Kafka did not run (the module `store` of the target `services` did; the others did not).
Maven fetches Kafka's jars; without it, set KAFKA_HOME to an unpacked Apache Kafka 4, or VCC_LINK_TEST_KAFKA to the
bootstrap address of a running one, and try again.
END
  return 1
}

clients_missing() {
  echo "The tests of other people's clients did not run: pip has to reach a Python package index for them."
  return 1
}

# Prints `--test NAME` for every integration test but those that need services.
targets_without_services() {
  cargo metadata --no-deps --format-version 1 |
    grep -o '"kind":\["test"\],"crate_types":\["bin"\],"name":"[^"]*"' | cut -d '"' -f 12 |
    grep -vxE 'services|browser' | sort -u | sed 's/^/--test\n/'
}

with_postgres() {
  if [[ -n ${VCC_LINK_TEST_DATABASE_URL:-} ]]; then
    "$@"
  else
    scripts/services/services.sh --only postgres run "$@"
  fi
}

main
