#!/usr/bin/env bash
# Prepares the tests of container images: installs debootstrap, bubblewrap and the Docker Engine and starts it, where Debian's
# packages and the right to do that are at hand, and builds the images, which later runs find in their cache.
# Without them the tests that need them skip, and pytest's summary lists each one.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.venv/bin/python}
# Where `make` has put uv.
PATH=$PATH:$PWD/.tools/uv/bin
engine_answers() {
  "$python" -c 'import docker; docker.from_env().close()' 2>/dev/null
}

packages=()
command -v bwrap >/dev/null || packages+=(bubblewrap)
command -v busybox >/dev/null || packages+=(busybox-static)
command -v debootstrap >/dev/null || [[ -x /usr/sbin/debootstrap ]] || packages+=(debootstrap)
engine_answers || command -v dockerd >/dev/null || [[ -x /usr/sbin/dockerd ]] || packages+=(docker.io)
if ((${#packages[@]})); then
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "missing: ${packages[*]} (tests that need them will be skipped; as root on Debian they are installed)" >&2
  else
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  fi
fi

if ! engine_answers && [[ $(id -u) == 0 && -z ${DOCKER_HOST:-} ]] && PATH=$PATH:/usr/sbin command -v dockerd >/dev/null; then
  if [[ -d /run/systemd/system ]]; then
    systemctl start docker || true
  else
    PATH=$PATH:/usr/sbin setsid nohup dockerd </dev/null >/var/log/dockerd.log 2>&1 &
  fi
  for _ in $(seq 60); do
    engine_answers && break
    sleep 0.5
  done
fi
engine_answers || echo "no Docker Engine answers (tests that need one will be skipped)" >&2

"$python" -m tests.images.build >/dev/null || echo "the images cannot be built (tests that need them will be skipped)" >&2
