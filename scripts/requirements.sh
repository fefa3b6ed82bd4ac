#!/usr/bin/env bash
# What a machine needs beyond the sources: looks what is missing, and installs it from Debian's packages.
#
#   requirements.sh build    to build: a C and C++ compiler, make, pkg-config, OpenSSL's and zlib's headers
#   requirements.sh test     to run the service tests: PostgreSQL, Java and Maven for Apache Kafka, Prometheus;
#                            Chromium and its driver for the tests of the pages; libfaketime for workers whose
#                            clock jumps; and Python for the tests of other people's Salesforce clients
#
# Changes nothing where nothing is missing. Starts no service, and makes no PostgreSQL cluster run. Where there is no
# apt-get, or nobody who may use it, it says what is missing and exits with 1. Rust itself is never installed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/services
# shellcheck source-path=SCRIPTDIR/services
source "$here/common.sh"
# shellcheck source-path=SCRIPTDIR/services
source "$here/postgres.sh"
# shellcheck source-path=SCRIPTDIR/services
source "$here/kafka.sh"
# shellcheck source-path=SCRIPTDIR/services
source "$here/prometheus.sh"

missing=()  # in words, for people
packages=() # Debian's names for it

# need WORDS PACKAGE COMMAND…: notes it as missing where COMMAND fails.
need() {
  local words=$1 package=$2
  shift 2
  if ! "$@" >/dev/null 2>&1; then
    missing+=("$words")
    packages+=("$package")
  fi
}

build_needs() {
  need 'a C compiler' build-essential command -v cc
  need 'a C++ compiler' build-essential command -v c++
  need 'make' build-essential command -v make
  need 'pkg-config' pkg-config command -v pkg-config
  need 'headers of OpenSSL 3' libssl-dev pkg-config --exists openssl
  need 'headers of zlib' zlib1g-dev pkg-config --exists zlib
}

# What the caller brings along (see services/services.sh) is not needed.
test_needs() {
  need 'ps' procps command -v ps
  need 'openssl' openssl command -v openssl
  [[ -n ${VCC_LINK_TEST_DATABASE_URL:-} ]] || need 'PostgreSQL' postgresql postgres_bin
  if [[ -z ${VCC_LINK_TEST_KAFKA:-} ]]; then
    need 'Java 17 or newer' default-jre-headless java_is_new_enough
    [[ -n ${KAFKA_HOME:-} || -d $kafka_cache ]] || need 'Maven' maven command -v mvn
  fi
  need 'libfaketime' libfaketime compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1'
  need 'Prometheus' "$prometheus_package" prometheus_binary
  need 'Chromium' chromium command -v chromium
  need 'chromedriver' chromium-driver command -v chromedriver
  need 'Python 3 with venv' python3-venv python3 -c 'import ensurepip, venv'
}

java_is_new_enough() {
  local version
  version=$("$kafka_java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
  [[ -n $version ]] && ((version >= 17))
}

# Rust is the developer's own business: several of them can live on one machine.
check_rust() {
  command -v cargo >/dev/null ||
    fail 'Rust is missing: install it with rustup (the least version is rust-version in Cargo.toml)'
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif [[ -t 0 ]]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null
}

# Debian starts a service as soon as it is installed, unless this file says no.
forbid_service_starts() {
  local policy=/usr/sbin/policy-rc.d
  [[ ! -e $policy ]] || return 0
  trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
  stop_on_signals
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
}

install_missing() {
  local package install=()
  for package in "${packages[@]}"; do
    [[ $package == "$prometheus_package" ]] || install+=("$package")
  done
  say "installing from Debian: ${packages[*]} (a minute or two; all it says: $log)"
  apt_get update || return 1
  if ((${#install[@]})); then
    forbid_service_starts
    apt_get install --yes --no-install-recommends "${install[@]}" || return 1
  fi
  if [[ " ${packages[*]} " == *" $prometheus_package "* ]]; then
    prometheus_unpack >>"$log" 2>&1 || return 1
  fi
}

may_install() {
  command -v apt-get >/dev/null || return 1
  ((EUID == 0)) || as_root true 2>/dev/null
}

main() {
  local log=$services_cache/requirements.log
  case ${1:-} in
    build)
      check_rust
      build_needs
      ;;
    test) test_needs ;;
    *) fail 'usage: requirements.sh build|test' ;;
  esac
  ((${#missing[@]})) || return 0
  say "missing: $(printf '%s, ' "${missing[@]}" | sed 's/, $//')"
  mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
  may_install ||
    fail "install it and try again; on Debian, as root: apt-get update && apt-get install --no-install-recommends ${packages[*]}"
  mkdir -p "$services_cache"
  : >"$log"
  install_missing || fail "Debian's packages could not be installed: $(tail -n 5 "$log")"
  # Asks again: a package may be older than what we need.
  missing=() packages=()
  "$1_needs"
  ((${#missing[@]} == 0)) || fail "still missing after installing: ${missing[*]}"
}

main "$@"
