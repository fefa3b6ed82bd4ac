# shellcheck shell=bash
# What `make test` and `make lint` share: steps that are named, timed and summed up, and the first two of them.

# CI must not build anything but what was committed.
cargo_options=(--workspace --features vcc-link/failpoints ${CI:+--locked})

step_results=target/steps.log
steps=()

# step NAME COMMAND…: the end of the first that fails is the end of it all.
step() {
  local name=$1 began=$SECONDS status=0
  shift
  printf '\n== %s\n' "$name"
  # Standard error stays what it is: cargo shows its progress there.
  "$@" | tee -a "$step_results" || status=$?
  steps+=("$(printf '%-8s %4d s  %s' "$( ((status)) && echo FAILED || echo ok)" $((SECONDS - began)) "$name")")
  return "$status"
}

begin_steps() {
  mkdir -p target
  : >"$step_results"
  trap sum_up EXIT
}

# The last lines: what ran, how long it took, and how many tests that were.
sum_up() {
  local status=$?
  printf '\n== summary\n'
  ((${#steps[@]} == 0)) || printf '%s\n' "${steps[@]}"
  ((status == 0)) || printf 'This did not pass.\n'
  awk '/^test result:/ { ran = 1; passed += $4; failed += $6; skipped += $8 }
       END { if (ran) printf "%d passed, %d failed%s\n", passed, failed, skipped ? ", " skipped " skipped" : "" }' \
    "$step_results"
}

check_formatting() { step 'formatting' cargo fmt --all --check; }

check_clippy() { step 'clippy' cargo clippy "${cargo_options[@]}" --all-targets -- -D warnings; }
