#!/usr/bin/env bash
# The fault suite (`make faults`): builds the binary with its crash points, as the tests do, and breaks it on purpose.
# Takes the suite's arguments; `scripts/faults.sh --help` tells them. Kafka and PostgreSQL are its own: it kills them.
# With RELEASE=1 in the environment the build is optimized: a million calls want it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
source scripts/steps.sh

env -u VCC_LINK_TEST_KAFKA scripts/services/services.sh fetch
profile=debug
if [[ -n ${RELEASE:-} ]]; then
  profile=release
  cargo_options+=(--release)
fi
cargo build "${cargo_options[@]}"
exec "${CARGO_TARGET_DIR:-target}/$profile/faults" "$@"
