#!/bin/bash
# What a kubelet leaves that has ended: what it mounted for volumes, its cgroups, its folder. clean.sh DIR
# Exit code 1 if the runtime had left cgroups of containers in them, which are told.
set -uo pipefail
dir=$1
hex=$(printf '[0-9a-f]%.0s' {1..64})
left=$(find /sys/fs/cgroup -type d -path '*/kubepods*' \( -name "$hex" -o -name "*-$hex.scope" \))
awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r at; do umount "$at"; done
[ ! -d /sys/fs/cgroup/kubepods.slice ] || systemctl stop kubepods.slice
find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null
rm -rf --one-file-system "$dir"
[ -z "$left" ] || { echo "left in the kubelet's cgroups:"; echo "$left"; exit 1; } >&2
