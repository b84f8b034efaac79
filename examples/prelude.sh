# What the examples' run scripts share; sourced, not run. BERTH is the command to use: "berth" from the build or
# from PATH unless the caller says otherwise (BERTH="berth -H unix:///elsewhere.sock").
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[1]}")"

built=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/release/bin/berth
if [ -z "${BERTH-}" ]; then
  if [ -x "$built" ]; then BERTH=$built; else BERTH=berth; fi
fi
berth() { command $BERTH "$@"; } # BERTH may hold flags, so it is split into words
step() { printf '\n== %s\n' "$*"; }
fail() {
  printf 'example failed: %s\n' "$*" >&2
  exit 1
}

containers=()
clean_up() {
  local status=$?
  if [ ${#containers[@]} -gt 0 ]; then berth rm -f "${containers[@]}" >/dev/null 2>&1 || true; fi
  exit "$status"
}
trap clean_up EXIT

# The base of all examples: a root filesystem made from Debian's busybox, without a registry.
berth image inspect busybox >/dev/null 2>&1 || berth bootstrap busybox

# fetch PORT [PATH]: the body of an HTTP answer from 127.0.0.1, with bash alone.
fetch() {
  { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "${2-/}" >&3
  sed '1,/^\r*$/d' <&3
  exec 3<&-
}

# port_of CONTAINER: the host's port that its port 80 is published on.
port_of() {
  local shown
  shown=$(berth port "$1" 80 | head -n 1)
  printf '%s\n' "${shown##*:}"
}

# free_port: a port of 127.0.0.1 that nobody answers on at the moment.
free_port() {
  local port
  for ((;;)); do
    port=$((20000 + RANDOM % 10000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# answers_within SECONDS PORT PATH TEXT: waits until the answer contains TEXT.
answers_within() {
  local deadline=$((SECONDS + $1)) answer=
  while ((SECONDS <= deadline)); do
    answer=$(fetch "$2" "$3" 2>/dev/null) || true
    case $answer in *"$4"*) return 0 ;; esac
    sleep 0.05
  done
  fail "127.0.0.1:$2$3 did not answer \"$4\" within $1 seconds; it answered \"$answer\""
}
