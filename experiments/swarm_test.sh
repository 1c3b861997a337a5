#!/bin/sh
# The swarm of a test run: 500 scenarios from a seed that the commit gives, so that every commit hunts elsewhere.
# Usage: swarm_test.sh SLIPSTREAM ROOT
set -eu
commit=$(git -C "$2" rev-parse --short=7 HEAD 2>/dev/null || echo 1)
exec "$1" swarm --seeds 500 --first "$((0x$commit))"
