#!/bin/sh
# The linker for macOS: that of LLVM in Rust's own tools, which rustc tells the flavor first, without the one argument of
# napi-build that is for a C compiler.
set -eu
for argument; do
  shift
  [ "$argument" = -Wl ] || set -- "$@" "$argument"
done
exec "$SYSROOT"/lib/rustlib/*/bin/rust-lld "$@"
