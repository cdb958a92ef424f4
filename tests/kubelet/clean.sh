#!/bin/bash
# What a kubelet leaves that has ended: what it mounted for volumes, its cgroups, its folder. clean.sh DIR
set -uo pipefail
dir=$1
awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r at; do umount "$at"; done
[ ! -d /sys/fs/cgroup/kubepods.slice ] || systemctl stop kubepods.slice
find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null
rm -rf --one-file-system "$dir"
