#!/usr/bin/env bash
# The services that tests need, on free ports, in a folder of their own.
#
#   services.sh run COMMAND…      start in a temporary folder, run COMMAND with their addresses in its
#                                 environment, stop, remove the folder; exits as COMMAND did
#   services.sh start DIR         start, or start again on the same data and ports; `. DIR/env` gives the addresses
#   services.sh stop DIR          stop in good order
#   services.sh kill DIR          stop as a crash would
#   services.sh follow DIR OF     start in DIR a PostgreSQL that follows the one in OF, as a standby
#   services.sh promote DIR       make a standby the primary
#   services.sh fetch             only fetch what `start` would have to fetch
#
# `--only postgres` or `--only kafka` before the verb limits it to one: a test that breaks a broker starts its own.
#
# Sets VCC_LINK_TEST_DATABASE_URL; VCC_LINK_TEST_KAFKA (plain) and VCC_LINK_TEST_KAFKA_SASL_SSL with …_CA, …_USER
# and …_PASSWORD; VCC_LINK_TEST_KAFKA_CLASSPATH (Kafka's own command line tools); VCC_LINK_TEST_PROMETHEUS (its
# binary: tests start it themselves). Where the caller has set VCC_LINK_TEST_DATABASE_URL or VCC_LINK_TEST_KAFKA,
# that one is used instead of starting one, unless `--only` asks for it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR
source "$here/common.sh"
# shellcheck source-path=SCRIPTDIR
source "$here/postgres.sh"
# shellcheck source-path=SCRIPTDIR
source "$here/kafka.sh"
# shellcheck source-path=SCRIPTDIR
source "$here/prometheus.sh"

# Prints what to start in DIR: what `--only` names, else all that is there already or that the caller did not bring.
wanted() {
  if [[ -n $only ]]; then
    echo "$only"
    return
  fi
  if [[ -d $1/kafka || -z ${VCC_LINK_TEST_KAFKA:-} ]]; then echo kafka; fi
  if [[ -d $1/postgres || -z ${VCC_LINK_TEST_DATABASE_URL:-} ]]; then echo postgres; fi
}

start() {
  local dir=$1 service
  for service in $(wanted "$dir"); do
    "${service}_start" "$dir"
  done
  write_combined_env "$dir"
}

# One file with the addresses: what we started, and what the caller had set.
write_combined_env() {
  local dir=$1 name
  {
    for name in "${!VCC_LINK_TEST_@}"; do
      printf 'export %s=%q\n' "$name" "${!name}"
    done
    if prometheus_binary >/dev/null; then
      printf 'export VCC_LINK_TEST_PROMETHEUS=%q\n' "$(prometheus_binary)"
    fi
    cat "$dir"/*/env 2>/dev/null || true
  } >"$dir/env.new"
  mv "$dir/env.new" "$dir/env"
}

# end stop|kill DIR: all of them, even if one resists.
end() {
  local service failed=0
  for service in postgres kafka; do
    [[ -z $only || $only == "$service" ]] || continue
    "${service}_$1" "$2" || failed=1
  done
  return "$failed"
}

# The folder that the exit traps clean up: a name of its own, as they see the variables of whichever function
# the exit came from.
services_dir=

# A second Ctrl-C does not cut it short.
kill_services() {
  trap '' HUP INT TERM
  [[ -z $services_dir ]] || end kill "$services_dir"
}

# Starts all or nothing.
start_or_clean_up() {
  services_dir=$1
  trap kill_services EXIT
  stop_on_signals
  start "$services_dir"
  trap - EXIT
}

run() {
  trap 'kill_services; rm -rf "$services_dir"' EXIT
  stop_on_signals
  services_dir=$(mktemp -d "${TMPDIR:-/tmp}/vcc-link-services.XXXXXX")
  # The user postgres must be able to pass; what is inside is closed.
  chmod 711 "$services_dir"
  start "$services_dir"
  # shellcheck source=/dev/null
  source "$services_dir/env"
  "$@"
}

usage() {
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 2
}

main() {
  only=
  if [[ ${1:-} == --only ]]; then
    [[ ${2:-} == postgres || ${2:-} == kafka ]] || usage
    only=$2
    shift 2
  fi
  local verb=${1:-}
  shift || usage
  [[ $verb == fetch ]] || (($#)) || usage
  case $verb in
    fetch) [[ -n ${VCC_LINK_TEST_KAFKA:-} ]] || kafka_jars >/dev/null ;;
    run) run "$@" ;;
    start)
      mkdir -p "$1"
      start_or_clean_up "$(cd "$1" && pwd)"
      ;;
    stop | kill) end "$verb" "$(cd "$1" && pwd)" ;;
    follow)
      [[ -n ${2:-} ]] || usage
      services_dir=$1
      only=postgres
      trap kill_services EXIT
      stop_on_signals
      postgres_follow "$1" "$2"
      trap - EXIT
      ;;
    promote) postgres_promote "$1" ;;
    *) usage ;;
  esac
}

main "$@"
