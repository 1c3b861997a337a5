#!/bin/sh
# The tests that need an RDMA device, in a guest that has one: the conformance suite over verbs, what the card itself
# refuses, whole clusters over verbs, and a network that is lost under a run. Called by ctest through vm.py.
# Usage: guest_test.sh FOLDER_OF_PROGRAMS
set -u
bin=$1
status=0

if [ ! -e /sys/class/infiniband/rxe0/ports/1/gids/0 ]; then
  echo "there is no RDMA device rxe0 here" >&2
  exit 1
fi

fail() {
  echo "FAILED: $*" >&2
  status=1
}

# expect_lost WHAT COMMAND...: a run over verbs under which COMMAND takes something away fails, says so, and ends soon.
expect_lost() {
  what=$1
  shift
  "$bin/slipstream" run softroce --hosts processes --out "/tmp/lost-$what" --set replication.policy=tailwind \
    --set workload.records=100 --set workload.arrivals=fixed --set workload.rate="100 ops/s" \
    --set duration="90 s" >"/tmp/lost-$what.log" 2>&1 &
  run=$!
  tries=0
  while [ $tries -lt 300 ] && kill -0 $run 2>/dev/null &&
    [ "$(rdma resource show qp 2>/dev/null | grep -c 'type RC')" -lt 14 ]; do
    tries=$((tries + 1))
    sleep 0.2
  done
  sleep 3
  kill -0 $run 2>/dev/null || fail "$what: the run ended before anything was taken away"
  "$@" || fail "$what: $* cannot be done"
  tries=0
  while [ $tries -lt 300 ] && kill -0 $run 2>/dev/null; do
    tries=$((tries + 1))
    sleep 0.2
  done
  kill -KILL $run 2>/dev/null && fail "$what: the run hangs"
  wait $run
  ended=$?
  cat "/tmp/lost-$what.log"
  [ $ended -eq 1 ] || fail "$what: the run ended with status $ended instead of 1"
  grep -q 'a run failed: ' "/tmp/lost-$what.log" || fail "$what: nothing was said"
  echo "$what: told after $tries fifths of a second"
}

"$bin/emulate_fabric_verbs_test" --gtest_brief=1 || fail "emulate_fabric_verbs_test"
"$bin/emulate_hosts_test" --gtest_brief=1 --gtest_filter='*verbs*' || fail "emulate_hosts_test"
expect_lost link ip link set slip0 down
ip link set slip0 up
# SoftRoCE's device cannot be removed while it is in use; the interface that it stands on can.
expect_lost interface ip link delete slip0
exit $status
