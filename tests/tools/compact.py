"""JSON with sorted keys, and everything that fits on one line on one line."""

import json
import sys
import textwrap


def write(value, depth=0):
    flat = json.dumps(value, sort_keys=True)
    if len(flat) + 2 * depth <= 118 or not isinstance(value, (dict, list)):
        return flat
    pad = "  " * (depth + 1)
    if isinstance(value, dict):
        lines = [f"{pad}{json.dumps(key)}: {write(value[key], depth + 1)}" for key in sorted(value)]
        return "{\n" + ",\n".join(lines) + "\n" + pad[2:] + "}"
    if all(isinstance(item, str) for item in value):
        text = textwrap.fill(", ".join(map(json.dumps, value)), 118, initial_indent=pad, subsequent_indent=pad)
        return "[\n" + text + "\n" + pad[2:] + "]"
    return "[\n" + ",\n".join(pad + write(item, depth + 1) for item in value) + "\n" + pad[2:] + "]"


print(write(json.load(sys.stdin)))
