"""Pushes images over the registry's HTTP API, in OCI's or Docker's format."""
import hashlib, json, urllib.error, urllib.request

OCI = 'application/vnd.oci.image.'
DOCKER = 'application/vnd.docker.'
TYPES = {
    'oci': {'manifest': OCI + 'manifest.v1+json', 'index': OCI + 'index.v1+json', 'config': OCI + 'config.v1+json',
            'gzip': OCI + 'layer.v1.tar+gzip', 'zstd': OCI + 'layer.v1.tar+zstd', 'plain': OCI + 'layer.v1.tar'},
    'docker': {'manifest': DOCKER + 'distribution.manifest.v2+json',
               'index': DOCKER + 'distribution.manifest.list.v2+json',
               'config': DOCKER + 'container.image.v1+json', 'gzip': DOCKER + 'image.rootfs.diff.tar.gzip'},
}
CREATED = '2023-11-14T22:13:20Z'


def digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


class Registry:
    def __init__(self, url):
        self.url = url.rstrip('/')
        self.pushed = {}            # reference -> manifest digest

    def _ask(self, method, url, data=None, kind=None):
        headers = {'Content-Type': kind} if kind else {}
        return urllib.request.urlopen(urllib.request.Request(url, data=data, method=method, headers=headers))

    def blob(self, repo, data):
        name = digest(data)
        try:
            self._ask('HEAD', f'{self.url}/v2/{repo}/blobs/{name}')
            return name
        except urllib.error.HTTPError as e:
            if e.code != 404:
                raise
        place = self._ask('POST', f'{self.url}/v2/{repo}/blobs/uploads/', b'').headers['Location']
        place += ('&' if '?' in place else '?') + 'digest=' + name
        self._ask('PUT', place, data, 'application/octet-stream')
        return name

    def _manifest(self, repo, reference, body, kind):
        data = json.dumps(body, sort_keys=True).encode()
        self._ask('PUT', f'{self.url}/v2/{repo}/manifests/{reference or digest(data)}', data, kind)
        return digest(data), len(data)

    def image(self, repo, tag, layers, config, form='oci', arch='amd64'):
        """Pushes one image; without a tag by its digest alone (a part of an index). Answers (digest, size)."""
        types = TYPES[form]
        text = json.dumps({
            'created': CREATED, 'architecture': arch, 'os': 'linux', 'config': config,
            'rootfs': {'type': 'layers', 'diff_ids': [l.diff_id for l in layers]},
            'history': [{'created': CREATED, 'created_by': 'mkimage.py'} for _ in layers],
        }, sort_keys=True).encode()
        done = self._manifest(repo, tag, {
            'schemaVersion': 2, 'mediaType': types['manifest'],
            'config': {'mediaType': types['config'], 'size': len(text), 'digest': self.blob(repo, text)},
            'layers': [{'mediaType': types[l.kind], 'size': len(l.blob), 'digest': self.blob(repo, l.blob)}
                       for l in layers],
        }, types['manifest'])
        if tag:
            self._note(f'{repo}:{tag}', done[0])
        return done

    def artifact(self, repo, tag, kind, files):
        """Pushes files, as name -> bytes, that are no image."""
        blob = lambda kind, data: {'mediaType': kind, 'size': len(data), 'digest': self.blob(repo, data)}
        done = self._manifest(repo, tag, {
            'schemaVersion': 2, 'mediaType': TYPES['oci']['manifest'], 'artifactType': kind,
            'config': blob('application/vnd.oci.empty.v1+json', b'{}'),
            'layers': [dict(blob('application/octet-stream', data), annotations={'org.opencontainers.image.title': name})
                       for name, data in files.items()],
        }, TYPES['oci']['manifest'])
        self._note(f'{repo}:{tag}', done[0])

    def index(self, repo, tag, parts, form='oci'):
        """Pushes an index of [(architecture, variant, (digest, size))]."""
        types = TYPES[form]
        done = self._manifest(repo, tag, {
            'schemaVersion': 2, 'mediaType': types['index'],
            'manifests': [{'mediaType': types['manifest'], 'digest': d, 'size': n,
                           'platform': {'os': 'linux', 'architecture': arch, **({'variant': v} if v else {})}}
                          for arch, v, (d, n) in parts],
        }, types['index'])
        self._note(f'{repo}:{tag}', done[0])

    def _note(self, reference, name):
        self.pushed[reference] = name
        print(f'{reference} {name}', flush=True)
