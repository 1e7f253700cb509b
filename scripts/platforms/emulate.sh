#!/bin/sh
# Runs a command in which programs for arm64 run like those of this machine: in a user namespace that has a binfmt_misc of
# its own (Linux 6.7 or later), so that the machine keeps its settings. For root.
#
#   emulate.sh <qemu-aarch64> <folder with the C library for arm64> <command> [argument...]
set -eu
qemu=$1
library=$2
shift 2

pipes=$(mktemp -d)
trap 'rm -rf "$pipes"' EXIT
mkfifo "$pipes/entered" "$pipes/mapped"

# The header of an ELF file of 64 bits for the processor 183, executable or shared. F: opens the emulator now.
rule=':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'$qemu:F

QEMU_LD_PREFIX=$library unshare --user --mount sh -euc '
  pipes=$1
  rule=$2
  shift 2
  echo > "$pipes/entered"
  read -r _ < "$pipes/mapped"
  mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  printf "%s" "$rule" > /proc/sys/fs/binfmt_misc/register
  exec "$@"
' sh "$pipes" "$rule" "$@" &
child=$!
read -r _ < "$pipes/entered"
# Every user is mapped: servers change to other ones.
for map in uid_map gid_map; do echo '0 0 4294967295' > "/proc/$child/$map"; done
echo > "$pipes/mapped"
trap 'kill "$child"' INT TERM
wait "$child"
