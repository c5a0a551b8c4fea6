#!/usr/bin/env bash
# install.sh run|dev
# Makes .venv and installs the pinned packages: requirements.txt, and for dev requirements-dev.txt too.
# The files .venv/.run and .venv/.dev say that it succeeded.
set -euo pipefail
cd "$(dirname "$0")/.."
part=$1
python=${PYTHON:-python3}
venv=.venv
lists=(requirements.txt)
[ "$part" = run ] || lists+=(requirements-dev.txt)

fail() {
  echo "install: $1" >&2
  exit 1
}

step() { # WHAT REMEDY COMMAND...: run COMMAND, say what it does and how long it took
  local what=$1 remedy=$2 started=$SECONDS log
  shift 2
  echo "install: $what ..."
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "failed: $what; $remedy, then run the same command again"
  fi
  rm -f "$log"
  echo "install: $what: $((SECONDS - started)) s"
}

make_venv() {
  rm -rf "$venv"
  "$python" -m venv "$venv" || {
    rm -rf "$venv"
    return 1
  }
}

install_uv() {
  sed -n '/^uv==/,/[^\\]$/p' requirements-dev.txt >"$venv/uv.txt"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --force-reinstall --require-hashes --requirement "$venv/uv.txt"
}

uv() {
  "$venv/bin/uv" "$@" --quiet --python "$venv/bin/python"
}

rm -f "$venv/.run" "$venv/.dev"
version=$("$python" -c 'import sys; print(".".join(map(str, sys.version_info[:2])))') ||
  fail "there is no $python; install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=python3.12"
case $version in
  3.11 | 3.12 | 3.13) ;;
  *) fail "$python is Python $version; evalsuite needs 3.11, 3.12 or 3.13: make PYTHON=python3.12" ;;
esac
started=$SECONDS
network="check the network and the free disk space (8 GB)"
# An environment of another Python, or one without pip, is made again.
[ "$("$venv/bin/python" -c 'import pip, sys; print(".".join(map(str, sys.version_info[:2])))' 2>/dev/null)" = "$version" ] ||
  step "make $venv with Python $version" "install Python's venv module (Debian: apt-get install python3-venv)" make_venv
[ -x "$venv/bin/uv" ] || step "install uv" "$network" install_uv
step "install the packages of ${lists[*]}" "$network" uv pip sync "${lists[@]}"
step "install evalsuite" "$network" uv pip install --no-deps --editable .
touch "$venv/.run"
[ "$part" = run ] || touch "$venv/.dev"
echo "install: done in $((SECONDS - started)) s; $(du -sh "$venv" | cut -f1) in $venv"
