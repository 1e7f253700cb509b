#!/bin/sh
# Runs a program for Windows by the wine in a root folder of its own, with the repository at its usual path. For root.
# What the program prints goes through a file: Node.js for Windows cannot write to pipes of Unix.
#
#   wine.sh <root folder> <repository> <program> [argument...]
set -eu
root=$1
repository=$2
shift 2
exec unshare --mount sh -euc '
  root=$1
  repository=$2
  shift 2
  for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
  mkdir -p "$root$repository" "$root/prefix"
  mount --rbind "$repository" "$root$repository"
  output=$(mktemp -p "$root/tmp")
  status=0
  chroot "$root" sh -c "cd \"\$0\" && exec \"\$@\"" "$repository" \
    env HOME=/root WINEPREFIX=/prefix WINEDEBUG=-all WINEARCH=win64 \
      ${NAPI_RS_NATIVE_LIBRARY_PATH:+"NAPI_RS_NATIVE_LIBRARY_PATH=$NAPI_RS_NATIVE_LIBRARY_PATH"} \
      wine "$@" < /dev/null > "$output" 2>&1 || status=$?
  cat "$output"
  rm "$output"
  exit "$status"
' sh "$root" "$repository" "$@"
