# One look at a host, with what every Linux has: sh, /proc, stat, ls, dd, df, tail, cut, sleep.
# N: a word that nobody can guess; L: seconds after which the answer ends, whatever hangs.
# Each line of the answer is "@N WORDS", written at once; all else is noise of the login.
set -f
LC_ALL=C PATH=${PATH:-/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
ifs=$IFS tab='	' nl='
'
say() { printf '@%s %s\n' "$N" "$*"; }

tag() { # KEY: says each line of its input
  cut -b 1-2000 | while IFS= read -r l || [ -n "$l" ]; do say "$1 $l"; done
}

started() { # PID: writes its start time in ticks; nothing if it does not run
  { IFS= read -r s <"/proc/$1/stat"; } 2>/dev/null || return 0
  s=${s##*) }
  set -- $s
  case $1 in Z | X) return 0 ;; esac
  shift 19
  echo "$1"
}

part() { # KEY PID START COMMAND...: runs it beside, unless an earlier one (PID, START) still hangs
  k=$1 p=$2 s=$3
  shift 3
  if [ "$p" != 0 ] && [ "$(started "$p")" = "$s" ]; then
    say "busy $k"
    return
  fi
  ("$@"; say "done $k") &
  parts="$parts $!"
  say "part $k $! $(started $!)"
}

finish() { # waits for all parts, but not longer than L
  trap over ALRM
  (sleep "$L" || sleep 1; kill -s ALRM $$) >/dev/null 2>&1 &
  timer=$!
  for p in $parts; do wait "$p"; done
  over
}

over() {
  trap '' ALRM
  kill "$timer" 2>/dev/null
  say end
  exit 0
}

ask() { # KEY COMMAND LINES: runs it, says its last lines and its exit code, leaves them in $o
  o=$({ "$2" </dev/null; printf '\n%s' "$?"; } | tail -c 65536 | tail -n "$(($3 + 2))")
  rc=${o##*"$nl"} o=${o%"$nl"*}
  o=${o%"$nl"}
  printf '%s\n' "$o" | tag "out $1"
  say "exit $1 $rc"
}

lists() { # LINE...: whether $first has any of these lines
  for l do
    case "$nl$first$nl" in *"$nl$l$nl"*) return 0 ;; esac
  done
  return 1
}

named() { # KEY: says the process that a line KEY=NUMBER of $first names
  key=$1 pid=0 IFS=$nl
  for l in $first; do
    IFS=" =$tab"
    set -- $l
    case ${1-}:${2-} in
      "$key":*[!0-9]* | "$key":) ;;
      "$key":*) pid=$2 ;;
    esac
  done
  IFS=$ifs
  say "pid $pid"
  [ "$pid" = 0 ] || process "$pid"
}

process() { # PID
  IFS= read -r l <"/proc/$1/stat" && say "stat $l"
  while read -r k v; do
    case $k in TracerPid:) say "tracer $v" ;; esac
  done <"/proc/$1/status"
  while read -r k v; do
    case $k in read_bytes:) say "fetched $v" ;; esac
  done <"/proc/$1/io"
} 2>/dev/null

lock() { # NUMBER DIRECTORY: its .lock, and the locks on files with its inode
  e=$(stat -L -c '%d %i' "$2/.lock" 2>&1) || { say "lock $1 fault $e"; return; }
  say "lock $1 file $e $(stat -f -c %T "$2/.lock" 2>/dev/null)"
  while IFS= read -r l; do
    case $l in *":${e#* } "*) say "lock $1 line $l" ;; esac
  done </proc/locks && say "lock $1 read"
}

fetch() { # FILE [FLAG]: reads its first block
  dd if="$1" of=/dev/null bs=4096 count=1 ${2:+"$2"} 2>&1
}

directory() { # NUMBER DIRECTORY: its device, its identity file read from the disk, its space
  d=$(stat -L -c %d "$2" 2>&1) || { say "dir $1 fault $d"; return; }
  say "dir $1 device $d"
  e=$(ls -a "$2" 2>&1 >/dev/null) || { say "dir $1 fault" $e; return; }
  for f in meta.properties myid; do
    e=$(stat -L -c %d "$2/$f" 2>&1) || case $e in
      *"o such file"*) continue ;;
      *) say "dir $1 fault" $e; d=; break ;;
    esac
    say "dir $1 identity"
    # An answer out of the page cache would hide that the disk is gone; not all can read around it.
    e=$(fetch "$2/$f" iflag=direct) && break
    case $e in
      *"nput/output error"*) ;;
      *)
        dd if="$2/$f" iflag=nocache count=0 of=/dev/null 2>/dev/null
        e=$(fetch "$2/$f") && break
        ;;
    esac
    say "dir $1 fault" $e
    d=
    break
  done
  [ ! -d "$2/version-2" ] || say "dir $1 log"
  [ -z "$d" ] || say "dir $1 read"
  say "dir $1 space $(df -P -k "$2" 2>/dev/null | tail -n 1)"
  [ -z "$d" ] || mounts "$1" "$d"
}

mounts() { # NUMBER DEVICE: the lines of the mount table about a device
  w=" $((($2 >> 8) & 4095)):$((($2 & 255) | (($2 >> 12) & 1048320))) "
  while IFS= read -r l; do
    case $l in *"$w"*) say "dir $1 mount $l" ;; esac
  done </proc/self/mountinfo
}

last() { # FILE LINES
  [ -f "$1" ] && [ -r "$1" ] || { say "log fault"; return; }
  tail -c 65536 "$1" | tail -n "$2" | tag "log line"
  say "log read"
}

within() { # SECONDS COMMAND...: runs it, but not for longer
  s=$1
  shift
  "$@" &
  c=$!
  (sleep "$s" || sleep 1; kill "$c") >/dev/null 2>&1 &
  w=$!
  wait "$c"
  r=$?
  kill "$w" 2>/dev/null
  return "$r"
}

door() { # NUMBER HOST PORT SECONDS: whether a connection from here opens
  if command -v bash >/dev/null; then
    e=$(within "$4" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$2" "$3" 2>&1)
  elif command -v nc >/dev/null; then
    e=$(within "$4" nc -z "$2" "$3" 2>&1 </dev/null; r=$?; [ "$r" != 1 ] || echo refused; exit "$r")
  else
    return
  fi
  r=$?
  if [ "$r" = 0 ]; then say "door $1 open"; return; fi
  [ "$r" -lt 128 ] || { say "door $1 closed"; return; }
  case $e in
    *"nvalid option"* | *sage:* | *"not known"* | *"o such file"* | *esolution* | *"ad address"*) ;;
    *efused* | *"o route"* | *nreachable* | *imed\ out*) say "door $1 closed" ;;
  esac
}

say "clock $(date +%s.%N)"
{ IFS= read -r l </proc/sys/kernel/random/boot_id && say "boot $l"
  read -r l _ </proc/uptime && say "uptime $l"; } 2>/dev/null
parts=
