"""An image of the registry as an archive, made as other tools make it.

archive.py REGISTRY REPOSITORY TAG NAME FORM FILE: FORM is oci (a layout), folder (the same, not packed) or docker (what
`docker save` wrote before it wrote layouts). NAME is what the archive calls the image. FILE ends with .gz or .zst if it
is to be compressed.
"""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import urllib.request

REGISTRY, REPOSITORY, TAG, NAME, FORM, FILE = sys.argv[1:]
BASE = f"http://{REGISTRY}/v2/{REPOSITORY}"
KINDS = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]


def get(path):
    request = urllib.request.Request(f"{BASE}/{path}", headers={"Accept": ", ".join(KINDS)})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def digest(content):
    return hashlib.sha256(content).hexdigest()


def layout(manifest, blobs):
    entry = {
        "mediaType": json.loads(manifest).get("mediaType", KINDS[0]),
        "digest": "sha256:" + digest(manifest),
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": NAME},
    }
    files = {f"blobs/sha256/{digest(blob)}": blob for blob in [*blobs, manifest]}
    files["oci-layout"] = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    return files


def docker(config, layers):
    plain = [gzip.decompress(layer) for layer in layers]
    files = {f"{digest(config)}.json": config}
    names = []
    for layer in plain:
        names.append(f"{digest(layer)}/layer.tar")
        files[names[-1]] = layer
    listed = [{"Config": f"{digest(config)}.json", "RepoTags": [NAME], "Layers": names}]
    files["manifest.json"] = json.dumps(listed).encode()
    return files


def archive(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


manifest = get(f"manifests/{TAG}")
read = json.loads(manifest)
config = get("blobs/" + read["config"]["digest"])
layers = [get("blobs/" + layer["digest"]) for layer in read["layers"]]
files = docker(config, layers) if FORM == "docker" else layout(manifest, [config, *layers])
if FORM == "folder":
    for name, content in files.items():
        path = os.path.join(FILE, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(content)
    sys.exit()
packed = archive(files)
if FILE.endswith(".gz"):
    packed = gzip.compress(packed, 1)
if FILE.endswith(".zst"):
    packed = subprocess.run(["zstd", "-q", "-1", "-c"], input=packed, stdout=subprocess.PIPE, check=True).stdout
with open(FILE, "wb") as out:
    out.write(packed)
