# shellcheck shell=bash
# What the service scripts share: how they speak, wait, choose ports, and start and end a process.

# Where things that are fetched once are kept; `cargo clean` removes them too.
services_cache=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target/services

# Standard output belongs to the command that the services are started for.
say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

# wait_until SECONDS WHAT COMMAND…
# Asks COMMAND again and again until it succeeds; fails after SECONDS. Speaks up when it takes long.
wait_until() {
  local deadline=$((SECONDS + $1)) what=$2 next_word=$((SECONDS + 2))
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    if ((SECONDS >= next_word)); then
      say "  waiting for $what"
      next_word=$((SECONDS + 5))
    fi
    sleep 0.1
  done
}

port_is_open() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Prints a free port from below the range that the kernel gives to outgoing connections, so that it is still
# free when the service binds it, and again when a test restarts the service.
free_port() {
  local port
  while true; do
    port=$((20000 + RANDOM % 12000))
    port_is_open "$port" || break
  done
  echo "$port"
}

random_password() { openssl rand -hex 16; }

# write_env FILE NAME VALUE [NAME VALUE]…
write_env() {
  local file=$1
  shift
  while (($#)); do
    printf 'export %s=%q\n' "$1" "$2"
    shift 2
  done >"$file"
}

# The exit trap of each verb cleans up; these only give the usual exit codes.
stop_on_signals() {
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# launch DIR COMMAND…
# Starts COMMAND in a session of its own: Ctrl-C reaches whoever uses the service, and then we end it.
# A signal waits until the process is on record: none may be left behind unknown.
launch() {
  local dir=$1 pending=
  shift
  trap 'pending=129' HUP
  trap 'pending=130' INT
  trap 'pending=143' TERM
  setsid "$@" >"$dir/output" 2>&1 </dev/null &
  echo "$! $(started_at $!)" >"$dir/process"
  # Else bash would report its end on our standard error.
  disown
  stop_on_signals
  [[ -z $pending ]] || exit "$pending"
}

# Together with the number it names one process for good: numbers are used again.
started_at() { ps -o lstart= -p "$1"; }

# Prints the process id of what was launched in DIR, where it is alive. A process that has ended but that
# nobody has waited for (a zombie) is not.
living_process() {
  local pid since state
  read -r pid since 2>/dev/null <"$1/process" || return 1
  state=$(ps -o stat= -p "$pid") || return 1
  [[ $state != Z* && $(started_at "$pid") == "$since" ]] || return 1
  echo "$pid"
}

is_down() { ! living_process "$1" >/dev/null; }

# end_process DIR SIGNAL SECONDS
end_process() {
  local dir=$1 signal=$2 pid
  pid=$(living_process "$dir") || return 0
  kill "-$signal" "$pid" 2>/dev/null || true
  wait_until "$3" "the process in $dir to end" is_down "$dir"
}
