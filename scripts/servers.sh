#!/usr/bin/env bash
# Installs the database servers and compilers that tests start, where Debian's packages and the right to install them are at hand.
# Without them the tests that need them skip, and pytest's summary lists each one.
set -euo pipefail

packages=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || packages+=(postgresql)
command -v mariadbd >/dev/null || [[ -x /usr/sbin/mariadbd ]] || packages+=(mariadb-server)
command -v g++ >/dev/null || packages+=(g++)
command -v go >/dev/null || packages+=(golang-go)
command -v softhsm2-util >/dev/null || packages+=(softhsm2)
command -v strace >/dev/null || packages+=(strace)
compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || packages+=(faketime)
((${#packages[@]})) || exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "missing: ${packages[*]} (tests that need them will be skipped; as root on Debian they are installed)" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# policy-rc.d keeps the packages from starting a server of their own: the tests start theirs, in a folder of their own.
if [[ ! -e /usr/sbin/policy-rc.d ]]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
