#!/bin/busybox sh
# The guest's first process: loads modules, mounts the host's root read-only and hands over to the agent
# (guest_agent.py), which runs on the host's Python. What goes wrong is told on the console.

fail() {
  echo "slipstream: $*"
  /bin/busybox poweroff -f
}

/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc

# Asked only whether a guest starts at all (see machine.py).
if grep -qw slipstream.probe /proc/cmdline; then
  echo slipstream-probe-ok
  poweroff -f
fi

mount -t sysfs sys /sys
while read -r module options; do
  insmod "/modules/$module" $options || echo "slipstream: cannot load $module"
done </modules/order

# loose: nothing is expected to change below the guest in the minutes it lives. 512000 is the most that virtio takes.
mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 root /root ||
  fail "cannot mount the host's root"
for folder in dev proc sys run usr/bin; do
  [ -d "/root/$folder" ] || fail "the host's root has no folder /$folder"
done
mount -t tmpfs -o mode=755 run /root/run
mkdir /root/run/slipstream
cp /agent/* /root/run/slipstream
for folder in dev proc sys; do
  mount --move "/$folder" "/root/$folder"
done
exec switch_root /root /usr/bin/python3 -ESs /run/slipstream/guest_agent.py
