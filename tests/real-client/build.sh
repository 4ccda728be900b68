#!/bin/sh
# Installs (Debian, only what is missing) and builds the driver of the real client.
# usage: build.sh [--no-install] OUTPUT_DIR      the program is OUTPUT_DIR/real-client
# With --no-install nothing is installed: packages that are missing are named, status 3.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
install=yes
if [ "${1-}" = --no-install ]; then install=; shift; fi
[ $# -eq 1 ] || { echo "usage: $0 [--no-install] OUTPUT_DIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)/real-client

missing=
for package in pidgin-sipe libpurple-dev libglib2.0-dev libxml2-dev gcc libc6-dev pkg-config; do
    case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) in
        *' installed') ;;
        *) missing="$missing $package" ;;
    esac
done
# pkgconf is Debian's successor of pkg-config and provides the same command.
if command -v pkg-config >/dev/null; then missing=$(echo "$missing" | sed 's/ pkg-config//'); fi
if [ -n "$missing" ] && [ -z "$install" ]; then
    echo "packages are missing:$missing" >&2
    exit 3
fi
if [ -n "$missing" ]; then
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    log=$(mktemp)
    if ! { $as_root apt-get update \
           && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        cat "$log" >&2
        echo "could not install:$missing" >&2
        exit 1
    fi
    rm -f "$log"
fi

if [ -x "$out" ] && [ -z "$(find "$here/src" "$here/build.sh" -newer "$out")" ]; then
    exit 0
fi
plugin=$(dpkg-query -L pidgin-sipe | grep '/libsipe\.so$')
# The program's own xmlSAXUserParseMemory and purple_circ_buffer_append must win over the libraries' ones: -rdynamic
# exports them, everything else stays hidden.
# shellcheck disable=SC2046
gcc -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -fvisibility=hidden -rdynamic \
    -DSIPE_PLUGIN_DIR="\"$(dirname "$plugin")\"" \
    $(pkg-config --cflags purple glib-2.0 libxml-2.0) \
    "$here"/src/*.c -o "$out.$$" \
    $(pkg-config --libs purple glib-2.0 libxml-2.0)
mv -f "$out.$$" "$out"
