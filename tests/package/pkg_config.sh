#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# pkg_config.sh <pkg-config> <compiler> <prefix> <version> <module> <source> <program>: compiles as a Makefile would that knows
# only the module's name.
set -eu
pkg_config=$1 compiler=$2 prefix=$3 version=$4 module=$5 source=$6 program=$7

export PKG_CONFIG_PATH="$prefix/share/pkgconfig"
"$pkg_config" --validate "$module"
found=$("$pkg_config" --modversion "$module")
if [ "$found" != "$version" ]; then
    echo "$module.pc says version $found; expected $version" >&2
    exit 1
fi
flags=$("$pkg_config" --cflags --libs "$module")
echo "$module: $flags"
# pkg-config quotes for a shell, and the prefix has a space in its name.
eval "$compiler -std=c++20 '$source' -o '$program' $flags"
