"""Layers of the fixture images, written so that the same inputs give the same digests."""
import gzip, hashlib, io, os, stat, subprocess, tarfile

EPOCH = 1700000000


class Layer:
    """One layer: a tar in memory, finished by done() as gzip, zstd or plain."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode='w', format=tarfile.PAX_FORMAT)
        self.known = set()

    def _add(self, kind, name, mode, owner, target='', data=None, pax=None, device=(0, 0)):
        name = name.strip('/')
        if kind != tarfile.DIRTYPE:
            self.dir(os.path.dirname(name))
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.mtime = kind, mode, EPOCH
        entry.uid, entry.gid = owner
        entry.linkname = target
        entry.devmajor, entry.devminor = device
        if pax:
            entry.pax_headers = pax
        if data is not None:
            entry.size = len(data)
        self.tar.addfile(entry, io.BytesIO(data) if data is not None else None)
        return self

    def dir(self, name, mode=0o755, owner=(0, 0)):
        name = name.strip('/')
        if not name or name in self.known:
            return self
        self.dir(os.path.dirname(name))
        self.known.add(name)
        return self._add(tarfile.DIRTYPE, name, mode, owner)

    def file(self, name, data, mode=0o644, owner=(0, 0), xattrs=None):
        if isinstance(data, str):
            data = data.encode()
        pax = {f'SCHILY.xattr.{k}': v for k, v in (xattrs or {}).items()}
        return self._add(tarfile.REGTYPE, name, mode, owner, data=data, pax=pax)

    def symlink(self, name, target):
        return self._add(tarfile.SYMTYPE, name, 0o777, (0, 0), target)

    def hardlink(self, name, target):
        return self._add(tarfile.LNKTYPE, name, 0o755, (0, 0), target.strip('/'))

    def fifo(self, name, mode=0o600):
        return self._add(tarfile.FIFOTYPE, name, mode, (0, 0))

    def device(self, name, major, minor, mode=0o666):
        return self._add(tarfile.CHRTYPE, name, mode, (0, 0), device=(major, minor))

    def whiteout(self, name):
        folder, base = os.path.split(name)
        return self.file(os.path.join(folder, '.wh.' + base), b'')

    def opaque(self, folder):
        return self.dir(folder).file(folder + '/.wh..wh..opq', b'')

    def tree(self, root):
        """Everything below a folder of this machine, owned by root."""
        for folder, subdirs, files in os.walk(root):
            subdirs.sort()
            for name in sorted(subdirs + files):
                path = os.path.join(folder, name)
                inside = os.path.relpath(path, root)
                if os.path.islink(path):
                    self.symlink(inside, os.readlink(path))
                elif os.path.isdir(path):
                    self.dir(inside)
                else:
                    self.file(inside, open(path, 'rb').read(), stat.S_IMODE(os.stat(path).st_mode))
        return self

    def done(self, how='gzip'):
        self.tar.close()
        raw = self.buffer.getvalue()
        self.buffer = None
        self.diff_id = 'sha256:' + hashlib.sha256(raw).hexdigest()
        self.kind = how
        if how == 'gzip':
            out = io.BytesIO()
            with gzip.GzipFile('', 'wb', 6, out, mtime=0) as z:
                z.write(raw)
            self.blob = out.getvalue()
        elif how == 'zstd':
            self.blob = subprocess.run(['zstd', '-q', '-c'], input=raw, stdout=subprocess.PIPE, check=True).stdout
        else:
            self.blob = raw
        return self
