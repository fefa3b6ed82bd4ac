#!/usr/bin/env bash
# The fault suite (`make faults`): builds the binary with its crash points and breaks it on purpose. The build is
# optimised, with all that a debug build checks; the short run takes the debug build that the tests have made.
# Takes the suite's arguments; `scripts/faults.sh --help` tells them. Kafka and PostgreSQL are its own: it kills them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/steps.sh
source scripts/steps.sh

env -u VCC_LINK_TEST_KAFKA scripts/services/services.sh fetch
profile=faults folder=faults
if [[ " $* " == *" --short "* ]]; then
  profile=dev folder=debug
fi
cargo build --profile "$profile" "${cargo_options[@]}"
exec "${CARGO_TARGET_DIR:-target}/$folder/faults" "$@"
