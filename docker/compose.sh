#!/usr/bin/env bash
# Runs on the containers of compose.yaml what `slipstream run --hosts ssh` would run on machines.
#   compose.sh machines                        the inventory, for --set emulate.machines="$(docker/compose.sh machines)"
#   compose.sh [OPTION]... ADDRESS WORD...     in ssh's place (SLIPSTREAM_SSH): the words as a line of shell in the
#                                              container with that address; ssh's options mean nothing here
set -euo pipefail
here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
source "$here/engine.sh"

# CONTAINER ADDRESS, a line each.
nodes() {
  local container
  for container in $("$engine" ps -q --filter label=slipstream.compose=node); do
    "$engine" inspect -f "$container"' {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$container"
  done
}

find_engine
found=$(nodes)
[[ -n $found ]] || fail "no container of compose.yaml runs; start them: $kind-compose -f docker/compose.yaml up -d"
if [[ ${1:-} == machines ]]; then
  awk '{ printf "%s{\"address\": \"%s\", \"program\": \"/opt/slipstream/bin/slipstream\"}", (NR > 1 ? ", " : "["), $2 }
    END { print "]" }' <<<"$found"
  exit
fi
while [[ ${1:-} == -* ]]; do
  case $1 in
    -o | -p | -i | -F | -l) shift 2 ;;
    *) shift ;;
  esac
done
address=${1:?usage: compose.sh machines, or compose.sh ADDRESS WORD...}
container=$(awk -v address="$address" '$2 == address { print $1 }' <<<"$found")
[[ -n $container ]] || fail "no container of compose.yaml has the address $address; see docker/compose.sh machines"
exec "$engine" exec -i "$container" sh -c "${*:2}"
