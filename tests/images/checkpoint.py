"""An image of a checkpoint's archive, as `buildah` makes it of one: a layer with its files, and an annotation.

checkpoint.py REGISTRY REPOSITORY TAG ARCHIVE NAME
"""

import gzip
import json
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from registry import OCI, Registry, digest

ADDRESS, REPOSITORY, TAG, ARCHIVE, NAME = sys.argv[1:]
registry = Registry(f"http://{ADDRESS}")
with open(ARCHIVE, "rb") as file:
    plain = file.read()
blob = lambda kind, data: {"mediaType": OCI + kind, "size": len(data), "digest": registry.blob(REPOSITORY, data)}
config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(plain)]}}
manifest = {
    "schemaVersion": 2,
    "mediaType": OCI + "manifest.v1+json",
    "config": blob("config.v1+json", json.dumps(config).encode()),
    "layers": [blob("layer.v1.tar+gzip", gzip.compress(plain, mtime=0))],
    "annotations": {"org.criu.checkpoint.container.name": NAME},
}
registry._manifest(REPOSITORY, TAG, manifest, OCI + "manifest.v1+json")
