#!/bin/sh
# `start` creates or upgrades the database and serves; any other argument is a command of provider.
set -eu
umask 077
if [ "${1:-start}" = start ]; then
    provider init
    set -- serve --host 0.0.0.0 --port "${PORT:-8000}"
fi
exec provider "$@"
