#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# install-packages.sh <package...>: installs the Debian packages of the list that are not installed yet. Says which, and
# touches neither the network nor sudo when there is none.
set -eu

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "install-packages.sh: this is not a Debian system; provide these packages' contents by other means: $*" >&2
    exit 0
fi

missing=""
for package in "$@"; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing Debian packages:$missing"

as_root=""
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "install-packages.sh: run as root, or install sudo, or have these packages installed:$missing" >&2
        exit 1
    fi
    as_root="sudo"
fi

# $missing is a list of package names, to be split.
# shellcheck disable=SC2086
{
    $as_root apt-get update -q
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}
