#!/bin/sh
# Runs a command in which programs for musl find their C library where they look for it: in a mount namespace, so that the
# machine keeps its folders. For root.
#
#   musl.sh <the C library> <name of the loader> <command> [argument...]
set -eu
library=$1
loader=$2
shift 2
exec unshare --mount sh -euc '
  library=$1
  loader=$2
  shift 2
  # In memory: an overlay cannot have its upper layer on every file system.
  mount -t tmpfs tmpfs /mnt
  mkdir /mnt/upper /mnt/work
  cp "$library" "/mnt/upper/$loader"
  folder=$(readlink --canonicalize /lib)
  mount -t overlay overlay -o "lowerdir=$folder,upperdir=/mnt/upper,workdir=/mnt/work" "$folder"
  # By this file, package managers tell which C library a system has.
  if [ -e /usr/bin/ldd ]; then
    printf "#!/bin/sh\necho musl libc\n" > /mnt/ldd
    chmod 755 /mnt/ldd
    mount --bind /mnt/ldd /usr/bin/ldd
  fi
  exec "$@"
' sh "$library" "$loader" "$@"
