#!/bin/sh
# The cargo of `napi build` where Zig is the C compiler and the linker, for Linux: see zig.mjs.
#
# napi calls cargo-zigbuild itself only for targets unlike the machine, and never with a version of
# glibc: a binary would ask for that of the machine it was built on, or for one that Zig chooses. This is
# the oldest on which Node.js 20 runs; scripts/release.mjs looks whether it was heeded.
set -eu
glibc=2.28

unset CARGO # cargo-zigbuild would call this again
shift # "build" or "zigbuild"
for argument; do
  shift
  case "$argument" in
    *-unknown-linux-gnu) argument="$argument.$glibc" ;;
  esac
  set -- "$@" "$argument"
done
exec cargo-zigbuild zigbuild "$@"
