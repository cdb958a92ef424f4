"""An image with the layers of another one and a changed configuration, in the same repository.

derive.py REGISTRY REPOSITORY TAG NEW-TAG: fields of "config" come as a JSON object on stdin.
"""

import hashlib
import json
import sys
import urllib.request

REGISTRY, REPOSITORY, TAG, NEW = sys.argv[1:]
BASE = f"http://{REGISTRY}/v2/{REPOSITORY}"
KINDS = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]


def call(method, url, body=None, headers=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read(), answer.headers


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def push_blob(content):
    _, headers = call("POST", f"{BASE}/blobs/uploads/", b"")
    place = headers["Location"]
    if place.startswith("/"):
        place = f"http://{REGISTRY}{place}"
    place += ("&" if "?" in place else "?") + "digest=" + digest(content)
    call("PUT", place, content, {"Content-Type": "application/octet-stream"})


text, _ = call("GET", f"{BASE}/manifests/{TAG}", headers={"Accept": ", ".join(KINDS)})
manifest = json.loads(text)
config = json.loads(call("GET", f"{BASE}/blobs/{manifest['config']['digest']}")[0])
config.setdefault("config", {}).update(json.load(sys.stdin))
content = json.dumps(config).encode()
push_blob(content)
manifest["config"].update(digest=digest(content), size=len(content))
kind = manifest.get("mediaType", KINDS[0])
call("PUT", f"{BASE}/manifests/{NEW}", json.dumps(manifest).encode(), {"Content-Type": kind})
