# Runs one command within a limit. N: a word that nobody can guess. The last line is "@N exit HOW":
# an exit code, missing (no such program), limit (killed with its group), left (left running).
set -f
PATH=${PATH:-/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

over() { # HOW
  trap '' ALRM
  kill "$timer" 2>/dev/null
  printf '\n@%s exit %s\n' "$N" "$1"
  exit 0
}

found() ( # PROGRAM: whether it can be run
  case $1 in */*) [ -f "$1" ] && [ -x "$1" ]; exit ;; esac
  IFS=:
  for d in $PATH; do
    [ -f "$d/$1" ] && [ -x "$d/$1" ] && exit 0
  done
  exit 1
)

alarm() { # SECONDS: sends ALRM to this shell unless it is ended before
  (
    trap 'kill "$z" 2>/dev/null; exit' TERM
    sleep "$1" &
    z=$!
    wait "$z" && kill -s ALRM $$
  ) >/dev/null 2>&1 &
  timer=$!
}

alone() { # COMMAND...: in a session of its own, if this host has the means
  if command -v setsid >/dev/null 2>&1; then exec setsid "$@"; fi
  trap '' HUP
  exec "$@"
}

run() { # SECONDS COMMAND...: killed with its group at the limit; one that we may not kill is left
  timer=
  seconds=$1
  shift
  found "$1" || over missing
  alone "$@" </dev/null &
  p=$!
  # Not `-s KILL --`, about which busybox complains after it has killed.
  trap 'kill -KILL "-$p" 2>/dev/null || kill -KILL "$p" 2>/dev/null || over left
over limit' ALRM
  alarm "$seconds"
  wait "$p"
  over "$?"
}

leave() { # SECONDS COMMAND...: left running at the limit; it writes where nobody can harm it
  timer=
  seconds=$1
  shift
  found "$1" || over missing
  # Not `:`, with which a shell would end where the file cannot be made.
  if d=$(umask 077 && mktemp -d 2>/dev/null) && true >"$d/o" && true >"$d/e"; then
    exec 3>"$d/o" 4<"$d/o" 5>"$d/e" 6<"$d/e"
    rm -rf "$d"
  else
    exec 3>/dev/null 4</dev/null 5>/dev/null 6</dev/null
  fi
  alone "$@" </dev/null >&3 2>&5 3>&- 4<&- 5>&- 6<&- &
  p=$!
  trap 'written; over left' ALRM
  alarm "$seconds"
  wait "$p"
  rc=$?
  written
  over "$rc"
}

written() {
  head -c 65536 <&4
  head -c 65536 <&6 >&2
}
