#!/usr/bin/env bash
# bare.sh bookworm|trixie PART... | -- COMMAND
# Does what a new user does, in a fresh clone and in a Debian that has Python, venv, make and certificates
# and nothing else: no compiler, no headers, no git, no graphics libraries. bookworm has Python 3.11, trixie
# 3.13. Parts, in the order given, each in a clone of its own:
#   demo   make demo, twice; the scores must be those of README's table
#   light  pip install . and the commands that read results, on those of an earlier demo
#   pip    pip install '.[run]' as README has it, then a short run
#   uv     the same with uv
#   test   make test
# or a COMMAND for bash instead. Run it as root, in the project; it takes what is committed. It needs
# debootstrap, and installs it where apt-get can. $EXTRA="gcc g++" adds Debian packages to the system.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "bare: $1" >&2
  exit 2
}

suite=${1:-}
case $suite in bookworm | trixie) ;; *) fail "usage: tools/bare.sh bookworm|trixie demo|light|pip|uv|test ... (or -- COMMAND)" ;; esac
shift
[ $# -gt 0 ] || fail "name at least one part: demo, light, pip, uv or test"
[ "$(id -u)" = 0 ] || fail "run this as root: it makes a system of its own and changes into it"
if ! command -v debootstrap >/dev/null; then
  command -v apt-get >/dev/null || fail "install debootstrap first: there is no apt-get here to do it"
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends debootstrap; } >/dev/null 2>&1 ||
    fail "apt-get cannot install debootstrap; install it first"
fi

cache=${BARE_CACHE:-/var/cache/evalsuite-bare}
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | head -n 1 || true)

make_base() { # the bare system, as a tar file
  local new
  echo "bare: make a bare Debian $suite ..."
  mkdir -p "$cache"
  new=$(mktemp -d)
  debootstrap --variant=minbase --include=python3,python3-venv,make,ca-certificates "$suite" "$new" $mirror >"$cache/$suite.log" 2>&1 ||
    { tail -n 5 "$cache/$suite.log" >&2; rm -rf --one-file-system "$new"; fail "debootstrap failed; $cache/$suite.log says more"; }
  # What this machine needs to reach its registries.
  cp /etc/resolv.conf /etc/hosts "$new/etc/"
  cp -r /etc/ssl/certs/. "$new/etc/ssl/certs/"
  [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$new/etc/"
  chroot "$new" useradd -m -s /bin/bash user
  tar -C "$new" -cf "$base.part" . && mv "$base.part" "$base"
  rm -rf --one-file-system "$new"
}

base=$cache/$suite.tar
[ -e "$base" ] || make_base
root=$(mktemp -d /var/tmp/bare.XXXXXX)
trap 'rm -rf --one-file-system "$root"' EXIT
tar -C "$root" -xf "$base"
chmod 755 "$root"
# A folder whose name has spaces.
git clone -q --no-hardlinks . "$root/home/user/fresh clone"
chown -R --reference="$root/home/user" "$root/home/user/fresh clone"
export root suite mirror EXTRA=${EXTRA:-}
unshare --mount --pid --fork --kill-child bash -euc '
  mount -t proc proc "$root/proc"
  mount -t tmpfs -o size=8G tmpfs "$root/tmp"
  mount --rbind /dev "$root/dev"
  if [ -n "$EXTRA" ]; then
    echo "deb $mirror $suite main" >"$root/etc/apt/sources.list"
    chroot "$root" sh -c "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $EXTRA" >/dev/null 2>&1
  fi
  unset PYTHONPATH VIRTUAL_ENV PIP_FIND_LINKS PYTHONDONTWRITEBYTECODE # of the system outside
  exec chroot "$root" su user -s /bin/bash -c "cd ~/fresh\ clone && umask 077 && exec bash tools/bare_parts.sh \"\$@\"" -- bash "$@"
' bash "$@"
