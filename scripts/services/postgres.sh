# shellcheck shell=bash
# A PostgreSQL of our own: its data, port and password live in DIR/postgres. The cluster that Debian's
# package may have made is neither used nor touched.

# Prints the folder with initdb and postgres: the newest of Debian's, else what is on the PATH.
postgres_bin() {
  local initdb
  initdb=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
  [[ -x $initdb ]] || initdb=$(command -v initdb) || return 1
  dirname "$initdb"
}

# PostgreSQL refuses to run as root: then it runs as the user that the package made.
as_postgres=()
if ((EUID == 0)); then
  as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi

postgres_configure() {
  local dir=$1 bin=$2 port password
  port=$(free_port)
  password=$(random_password)
  mkdir -p "$dir"
  chmod 700 "$dir"
  echo "$password" >"$dir/password"
  if ((EUID == 0)); then
    chown -R postgres: "$dir"
    "${as_postgres[@]}" test -x "$dir" || fail "the user postgres must be able to reach $dir"
  fi
  # The folder is fresh: only what the server writes later has to survive a crash.
  (cd "$dir" && "${as_postgres[@]}" "$bin/initdb" --pgdata="$dir/data" --username=vcc_link \
    --pwfile="$dir/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync) >"$dir/initdb.log" 2>&1 ||
    fail "initdb failed: $(cat "$dir/initdb.log")"
  cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
max_connections = 200
# The tests kill what they like and expect their data back.
fsync = on
synchronous_commit = on
CONF
  write_env "$dir/env" VCC_LINK_TEST_DATABASE_URL "postgres://vcc_link:$password@127.0.0.1:$port/postgres"
}

# Starts, or starts again on the same data and port.
postgres_start() {
  local dir=$1/postgres bin
  bin=$(postgres_bin) || fail 'PostgreSQL is not installed: scripts/requirements.sh test'
  say "starting $("$bin/postgres" --version)"
  [[ -f $dir/env ]] || postgres_configure "$dir" "$bin"
  launch "$dir" "${as_postgres[@]}" "$bin/postgres" -D "$dir/data"
  wait_until 60 'PostgreSQL to start' postgres_is_settled "$dir" "$bin" || true
  postgres_is_ready "$dir" "$bin" || fail "PostgreSQL did not start: $(tail -n 20 "$dir/output")"
}

postgres_is_ready() {
  # shellcheck source=/dev/null
  (source "$1/env" && "$2/pg_isready" --quiet --dbname="$VCC_LINK_TEST_DATABASE_URL")
}

postgres_is_settled() { postgres_is_ready "$1" "$2" || is_down "$1"; }

# "Fast": open transactions are rolled back.
postgres_stop() { end_process "$1/postgres" INT 30 || postgres_kill "$1"; }

# "Immediate": no checkpoint; the next start recovers from the log.
postgres_kill() { end_process "$1/postgres" QUIT 30; }

# Starts a copy of the server in OF that follows it, with its users and their passwords.
postgres_follow() {
  local dir=$1/postgres of=$2/postgres bin port url
  bin=$(postgres_bin) || fail 'PostgreSQL is not installed: scripts/requirements.sh test'
  port=$(free_port)
  # shellcheck source=/dev/null
  url=$(source "$of/env" && echo "$VCC_LINK_TEST_DATABASE_URL")
  mkdir -p "$dir"
  chmod 700 "$dir"
  ((EUID != 0)) || chown postgres: "$dir"
  (cd "$dir" && "${as_postgres[@]}" "$bin/pg_basebackup" --pgdata="$dir/data" --dbname="$url" --checkpoint=fast \
    --write-recovery-conf --no-sync) >"$dir/basebackup.log" 2>&1 ||
    fail "pg_basebackup failed: $(cat "$dir/basebackup.log")"
  echo "port = $port" >>"$dir/data/postgresql.conf"
  write_env "$dir/env" VCC_LINK_TEST_DATABASE_URL "${url%@*}@127.0.0.1:$port/postgres"
  postgres_start "$1"
}

# Returns once it may be written to.
postgres_promote() {
  local dir=$1/postgres bin
  bin=$(postgres_bin)
  (cd "$dir" && "${as_postgres[@]}" "$bin/pg_ctl" promote --wait --pgdata="$dir/data") >"$dir/promote.log" 2>&1 ||
    fail "it is not promoted: $(cat "$dir/promote.log")"
}
