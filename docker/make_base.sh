#!/usr/bin/env bash
# Makes the image slipstream-base:bookworm without a registry: a minimal Debian 12 from a Debian mirror, with the
# libraries that Slipstream needs. Usage: make_base.sh. Does nothing when the engine holds it; the Debian is kept as a
# tar file in ${SLIPSTREAM_CACHE:-${XDG_CACHE_HOME:-~/.cache}/slipstream} (80 MB) and made once.
set -euo pipefail
here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
source "$here/engine.sh"

suite=bookworm
cache=${SLIPSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slipstream}
tar_file=$cache/base-$suite-$(printf '%s' "$packages" | cksum | cut -d' ' -f1).tar

# The mirror from which this machine's own Debian comes; nothing where it is not of this suite: debootstrap has its own.
mirror() {
  command -v apt-get >/dev/null || return 0
  apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 2>/dev/null |
    awk -v suite=$suite '$1 == suite && $2 == "main" && !found { print $3; found = 1 }'
}

# A bootstrap that was cut short leaves /proc mounted in what it made.
clean_up() {
  local mounted
  mounted=$(awk -v at="$work/" 'index($2, at) == 1 { print $2 }' /proc/mounts | sort -r)
  [[ -z $mounted ]] || xargs -r -d '\n' umount -l <<<"$mounted" || true
  rm -rf --one-file-system "$work"
}

make_tar() {
  [[ $EUID -eq 0 ]] || fail "a base image is made with debootstrap, which needs root: sudo $0; or, with a registry" \
    "at hand, name another base: SLIPSTREAM_BASE=docker.io/library/debian:bookworm-slim"
  command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
  say "making a minimal Debian ($suite) for containers; this takes one to three minutes, once"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/base-XXXXXX")
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP
  local log=$work/debootstrap.log
  # shellcheck disable=SC2046 # no mirror is no argument
  if ! debootstrap --variant=minbase --include="${packages// /,}" $suite "$work/root" $(mirror) >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    fail "debootstrap failed, see above; it needs a Debian mirror that can be reached, and 300 MB in $cache"
  fi
  tar -C "$work/root" -cf "$work/base.tar" --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' .
  mv "$work/base.tar" "$tar_file"
}

find_engine
has_image $base_image && exit 0
[[ -f $tar_file ]] || make_tar
told=$("$engine" import "$tar_file" $base_image 2>&1) || fail "$kind cannot import $tar_file: $told"
