#!/usr/bin/env bash
# What `make fuzz` does: each target for some time under libFuzzer, led by the code that an input reaches.
#   FUZZ_SECONDS=600 TARGETS=events scripts/fuzz.sh
set -euo pipefail
for_each=${FUZZ_SECONDS:-60}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
  scripts/requirements.sh build
  if ! cargo fuzz --version >/dev/null 2>&1; then
    echo 'cargo-fuzz is missing: cargo install --locked cargo-fuzz' >&2
    return 1
  fi
  local target
  for target in ${TARGETS:-events queries answers}; do
    printf '\n== %s, %s s\n' "$target" "$for_each"
    # What it learns goes to the first folder; what is kept is read from the second.
    local learnt=target/fuzz/corpus/$target
    mkdir -p "$learnt"
    # No sanitizer: there is no unsafe code to watch, and stable Rust has none.
    cargo fuzz run --sanitizer none --features libfuzzer "$target" "$learnt" "fuzz/corpus/$target" -- -max_total_time="$for_each" -max_len=256
  done
}

main
