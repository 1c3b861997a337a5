# Read by the scripts beside it: which container engine there is, and what all of them need to know. Sets `engine` (the
# program) and `kind` (podman or docker); ends the script when there is none.

# What the program needs at run time, as Debian 12 names it: fmt; RDMA verbs and the user-space drivers of the devices.
packages="libfmt9 libibverbs1 ibverbs-providers"
base_image=slipstream-base:bookworm

say() { printf 'slipstream: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

find_engine() {
  local name
  for name in ${SLIPSTREAM_CONTAINER_ENGINE:-podman docker}; do
    engine=$(command -v "$name") && break
  done
  if [[ -z ${engine:-} ]]; then
    fail "no container engine (${SLIPSTREAM_CONTAINER_ENGINE:-podman or docker}) is installed; on Debian:" \
      "apt-get install --no-install-recommends podman runc netavark aardvark-dns"
  fi
  # "podman version 4.3.1", also where podman answers to the name docker.
  case $("$engine" --version 2>&1) in
    podman*) kind=podman ;;
    *) kind=docker ;;
  esac
}

# has_image IMAGE: whether the engine holds it.
has_image() { [[ -n $("$engine" images -q "$1") ]]; }
