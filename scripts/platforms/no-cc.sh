#!/bin/sh
# A C compiler for `cargo check`, which links nothing: its object files are empty.
set -eu
while [ $# -gt 0 ]; do
  case "$1" in
    -o) : > "$2" ;;
    -E | --version | -print*) exec cc "$@" ;;
  esac
  shift
done
