#!/usr/bin/env bash
# Makes the image that `slipstream run --hosts containers` starts: slipstream:ID, where ID is the first 12 digits of the
# program's build id, and slipstream:latest. Usage: make_image.sh [--if-missing] PROGRAM. Does nothing when the engine
# holds it, and with --if-missing says nothing of it either.
#
# SLIPSTREAM_BASE names an image to build on (Debian 12); otherwise make_base.sh makes one without a registry.
set -euo pipefail
here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
source "$here/engine.sh"

says_so=yes
if [[ ${1:-} == --if-missing ]]; then
  says_so=no
  shift
fi
program=$(readlink -f -- "${1:?usage: make_image.sh [--if-missing] PROGRAM}")
[[ -x $program ]] || fail "$program is not a program; build it first"
id=$(readelf -n "$program" | sed -n 's/^ *Build ID: *//p')
[[ -n $id ]] || fail "$program has no build id; link it with -Wl,--build-id"
image=slipstream:${id:0:12}

find_engine
if has_image "$image"; then
  "$engine" tag "$image" slipstream:latest
  [[ $says_so == no ]] || say "the image $image is there already"
  exit 0
fi
base=${SLIPSTREAM_BASE:-}
if [[ -z $base ]]; then
  "$here/make_base.sh"
  base=$base_image
fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$context/slipstream/bin" "$context/slipstream/experiments"
cp -r "$here/../experiments/"{specs,hardware,published} "$context/slipstream/experiments/"
strip --strip-debug -o "$context/slipstream/bin/slipstream" "$program"
chmod -R u=rwX,go=rX "$context/slipstream"

options=(--build-arg "BASE=$base" --build-arg "PACKAGES=$packages" --label "slipstream.program=$program")
if [[ $kind == podman ]]; then
  options+=(--isolation chroot) # works where the engine's runtime cannot start containers with its default limits
fi
log=$context/build.log
if ! "$engine" build "${options[@]}" -t "$image" -t slipstream:latest -f "$here/Containerfile" "$context" >"$log" 2>&1
then
  tail -n 20 "$log" >&2
  fail "$kind build failed, see above; base image: $base"
fi
# Images of earlier builds of the same program are of no use any more.
for old in $("$engine" images -q --filter "label=slipstream.program=$program" --filter "before=$image"); do
  "$engine" rmi -f "$old" >/dev/null 2>&1 || true
done
say "made the image $image"
