#!/usr/bin/env bash
# bare_parts.sh PART... | -- COMMAND: inside the bare system of tools/bare.sh, as an ordinary user.
set -euo pipefail
clone=$PWD
system="Debian $(cut -d. -f1 /etc/debian_version), $(python3 --version)"
results=$HOME/results # of the demo, for the parts after it

say() { echo "bare: $system: $1"; }

timed() { # WHAT COMMAND...
  local what=$1 started=$SECONDS
  shift
  "$@" || { say "$what: FAILED after $((SECONDS - started)) s"; exit 1; }
  say "$what: $((SECONDS - started)) s"
}

environment() { # NAME: a new virtual environment outside the clone
  export VIRTUAL_ENV=$HOME/$1
  python3 -m venv "$VIRTUAL_ENV"
  PATH=$VIRTUAL_ENV/bin:$PATH
  cd "$HOME"
}

size() { # ENVIRONMENT
  say "$(du -sm "$1" | cut -f1) MB, $(find "$1"/lib/python*/site-packages -maxdepth 1 -name '*.dist-info' | wc -l) packages in $(basename "$1")"
}

check_scores() { # the table must be README's
  diff <(grep '^| demo' "$clone/README.md") <(evalsuite report --format markdown | grep '^| demo') ||
    { say "the scores differ from README's"; exit 1; }
  say "the scores are README's"
}

demo() {
  timed "make demo" make demo
  local started=$SECONDS
  timed "make demo again" make demo
  [ $((SECONDS - started)) -le 20 ] || { say "a finished demo must start at once"; exit 1; }
  size .venv
  cp -r results "$results"
  PATH=$clone/.venv/bin:$PATH check_scores
}

light() {
  environment light
  timed "pip install ." pip install --quiet --disable-pip-version-check "$clone"
  size light
  mkdir work && cd work && cp -r "$results" results
  check_scores
  for command in "gate --baseline demo-early --candidate demo" "compare demo-early demo" leaderboard page list \
    "power demo" "show demo -b DemoOCR" "card demo -o CARD.md"; do
    evalsuite $command >/dev/null || { say "evalsuite $command failed"; exit 1; }
  done
  [ -s results/page/index.html ]
  local code=0
  evalsuite run --ckpt demo 2>refused || code=$?
  [ "$code" = 2 ] && [ "$(wc -l <refused)" = 1 ] && grep -q "pip install 'evalsuite\[run\]'" refused
  say "gate, compare, report, leaderboard, page, list, power, show, card work; run says what to install"
}

short_run() {
  timed "evalsuite run --limit 8" evalsuite run --ckpt demo --limit 8 --output-dir "$VIRTUAL_ENV/results"
}

pip_() {
  environment by-pip
  timed "pip install '.[run]'" pip install --quiet --disable-pip-version-check "$clone[run]"
  timed "pip install --no-deps ms-vlmeval" pip install --quiet --disable-pip-version-check --no-deps ms-vlmeval==0.0.20
  size by-pip
  short_run
}

uv_() {
  environment by-uv
  pip install --quiet --disable-pip-version-check uv
  timed "uv pip install '.[run]'" uv pip install --quiet --python by-uv/bin/python "$clone[run]"
  timed "uv pip install --no-deps ms-vlmeval" uv pip install --quiet --python by-uv/bin/python --no-deps ms-vlmeval==0.0.20
  size by-uv
  short_run
}

test_() {
  timed "make test" make test
  size .venv
}

if [ "$1" = -- ]; then
  shift
  eval "$*"
  exit
fi
for part; do
  case $part in
    demo | light) ($part) ;;
    pip | uv | test) ("${part}_") ;;
    *) echo "bare: there is no part '$part'" >&2; exit 2 ;;
  esac
done
