#!/usr/bin/env python3
"""Makes the fixture images from what build.sh prepared, and pushes them to a registry.

    mkimage.py --inputs DIR --registry http://127.0.0.1:5000 SET...

Sets:
  demo     what the example pods and the demo use
             peapod/web:1      nginx: serves /srv/www on port 80, access log on stdout; StopSignal SIGQUIT
             peapod/shell:1    busybox and a shell, with wget, nc, ps
             library/nginx:alpine, library/busybox:1   the same under the names that examples/ have of docker.io; nginx
                               serves /usr/share/nginx/html, as that one does
  tests    what the integration tests use beside `demo`: one image for each format and each trap (peapod/test-*)
  critest  all that critest names, under the paths of its registries (registry.k8s.io, gcr.io)
DIR/digests.json remembers reference -> manifest digest.
"""
import argparse, json, os
from layer import Layer
from registry import Registry

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
GROUP = 'root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnobody:x:65534:\n'
PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
SHELL = {'Env': [PATH], 'Cmd': ['sh']}
STAGING = 'k8s-staging-cri-tools/'


class Inputs:
    """The folder that build.sh filled: shell/ and nginx/ (roots), pause, nnp, udpecho, attack (programs), applets (a list)."""

    def __init__(self, folder):
        self.folder = folder
        self._busybox = None

    def path(self, name):
        return os.path.join(self.folder, name)

    def program(self, name):
        return open(self.path(name), 'rb').read()

    def busybox(self, variant=''):
        """busybox, its libraries and one hard link per command in /bin. Hard, because tests mask /bin/ls
        alone: a symbolic link would lead them to mask every command."""
        if not variant and self._busybox:
            return self._busybox
        layer = Layer()
        for folder in 'bin dev etc home proc root sys usr/bin usr/sbin var/www'.split():
            layer.dir(folder)
        layer.dir('tmp', 0o1777)
        layer.tree(self.path('shell'))
        present = set(os.listdir(self.path('shell/bin')))
        for applet in sorted(set(open(self.path('applets')).read().split()) - present):
            layer.hardlink('bin/' + applet, 'bin/busybox')
        layer.file('etc/passwd', PASSWD).file('etc/group', GROUP)
        if variant:
            return layer.file('etc/variant', variant).done()
        self._busybox = layer.done()
        return self._busybox

    def nginx(self):
        return Layer().tree(self.path('nginx')).done()


def one_file(name, data, **kw):
    return Layer().file(name, data, **kw).done()


def nginx_config(port, six=True, root='/srv/www'):
    """The configuration of a web server on one port, and its folders."""
    listen6 = f'listen [::]:{port};' if six else ''
    layer = Layer().file('etc/nginx/nginx.conf', f"""user www-data;
worker_processes 1;
pid /var/run/nginx.pid;
error_log /dev/stderr;
events {{ worker_connections 64; }}
http {{
    access_log /dev/stdout;
    include mime.types;
    server {{ listen {port}; {listen6} location / {{ root {root}; index index.html; }} }}
}}
""")
    layer.file(root[1:] + '/index.html', '<html><body>fixture web server</body></html>\n')
    layer.dir('var/log/nginx').dir('var/lib/nginx').dir('run').symlink('var/run', '/run')
    return layer.done()


NGINX = {'Env': [PATH], 'Entrypoint': ['nginx'], 'Cmd': ['-g', 'daemon off;'], 'StopSignal': 'SIGQUIT'}


def demo(reg, inputs):
    reg.image('peapod/shell', '1', [inputs.busybox()], SHELL)
    reg.image('peapod/web', '1', [inputs.busybox(), inputs.nginx(), nginx_config(80)],
              dict(NGINX, ExposedPorts={'80/tcp': {}}))
    reg.image('library/busybox', '1', [inputs.busybox()], SHELL)
    reg.image('library/nginx', 'alpine', [inputs.busybox(), inputs.nginx(), nginx_config(80, root='/usr/share/nginx/html')],
              dict(NGINX, ExposedPorts={'80/tcp': {}}))


def tests(reg, inputs):
    base = inputs.busybox()
    image = lambda name, layers, config=SHELL, **kw: reg.image('peapod/test-' + name, '1', layers, config, **kw)
    image('docker', [base, one_file('format', 'docker schema 2\n')], form='docker')
    image('zstd', [base, Layer().file('format', 'zstd\n').done('zstd')])
    image('plain', [base, Layer().file('format', 'plain\n').done('plain')])
    # An index whose other parts would not even run here.
    for name, archs in (('index', ('arm64', 'amd64', 's390x')), ('foreign', ('arm64', 's390x'))):
        repo = 'peapod/test-' + name
        parts = [(arch, 'v8' if arch == 'arm64' else '',
                  reg.image(repo, None, [base, one_file('arch', arch + '\n')], SHELL, arch=arch)) for arch in archs]
        reg.index(repo, '1', parts)
    # What a layer can hold and a later one can take away.
    lower = (Layer().file('gone/file', 'lower').file('opaque/old', 'lower').file('opaque/sub/old', 'lower')
             .file('replaced', 'lower').file('dir-to-file/inner', 'lower').file('kept', 'lower')).done()
    upper = (Layer().whiteout('gone/file').opaque('opaque').file('opaque/new', 'upper').file('replaced', 'upper')
             .file('dir-to-file', 'upper')).done()
    image('whiteout', [base, lower, upper])
    image('metadata', [base, (Layer()
          .file('meta/setuid', 'x', 0o4755, (1000, 1001)).file('meta/sticky', 'x', 0o1644)
          .dir('meta/dir', 0o2750, (33, 33)).file('meta/name', 'x', xattrs={'user.peapod': 'seen'})
          .file('meta/one', 'linked').hardlink('meta/two', 'meta/one').symlink('meta/absolute', '/etc/passwd')
          .fifo('meta/fifo').device('meta/null', 1, 3)).done()])
    image('entrypoint', [base], {'Env': [PATH, 'FROM_IMAGE=yes', 'BOTH=image'], 'WorkingDir': '/srv/work',
          'Entrypoint': ['/bin/sh', '-c'], 'Cmd': ['echo image-cmd; echo "$FROM_IMAGE $BOTH $(pwd)"'],
          'StopSignal': 'SIGUSR1', 'User': '1000:1001', 'Labels': {'peapod.test': 'label'}})
    image('udp', [base, one_file('bin/udpecho', inputs.program('udpecho'), mode=0o755)],
          {'Env': [PATH], 'Cmd': ['udpecho', '7000']})
    # Whatever dynamic program of the node is executed in this one, its own loader runs: the OCI runtime's too.
    attack = (Layer().dir('dev').dir('proc').dir('sys').dir('etc').dir('tmp', 0o1777)
              .file('attack', inputs.program('attack'), 0o755).symlink('probe', '/proc/self/exe'))
    attack.file('lib64/ld-linux-x86-64.so.2', inputs.program('attack'), 0o755)
    image('attack', [attack.done()], {'Env': [PATH], 'Cmd': ['/proc/self/exe', 'exe', 'hold']})
    many = [one_file(f'many/{i}', str(i)) for i in range(60)]
    image('many', [base, *many])
    # One of each way out of an image's root; nothing of it may ever appear.
    image('escape-dotdot', [base, one_file('../../../../../../../../peapod-escaped', 'x')])
    image('escape-symlink', [base, Layer().symlink('out', '../../../../../../../../tmp').file('out/peapod-escaped', 'x').done()])
    image('escape-hardlink', [base, Layer().hardlink('stolen', '../../../../../../../../etc/shadow').done()])
    # Links for whoever looks for a part of an image: the first three lead to something in it.
    image('links', [base, (Layer().file('kept/file', 'kept\n').file('kept/deeper/file', 'deep\n').symlink('up', '../../../../etc')
          .symlink('absolute', '/kept').symlink('chain', 'absolute').symlink('out', '../../../../peapod-outside')
          .symlink('outside', '/peapod-outside').symlink('node', '/proc/1/root').symlink('round', 'round').fifo('fifo')).done()])
    reg.artifact('peapod/test-artifact', '1', 'application/vnd.peapod.test',
                 {'model.bin': b'weights\n', 'conf/a.json': b'{}\n', 'conf/b.json': b'[]\n'})
    deep = Layer()
    deep.known.add('/'.join('d' * 10000))       # the file alone, without 10 000 entries for its parents
    image('escape-deep', [base, deep.file('/'.join('d' * 10000) + '/x', 'x').done()])


def critest(reg, inputs):
    base = inputs.busybox()
    reg.image('e2e-test-images/busybox', '1.29-2', [base], SHELL)

    # 3.9 is another image than the others: a spec counts the tags of one.
    pause = one_file('pause', inputs.program('pause'), mode=0o755)
    config = {'Env': [PATH], 'Entrypoint': ['/pause'], 'WorkingDir': '/', 'User': '65535:65535'}
    for tag in ('3.10', '3.10.1', '3.10.2'):
        reg.image('pause', tag, [pause], config)
    reg.image('pause', '3.9', [pause], dict(config, Labels={'version': '3.9'}))

    reg.image('e2e-test-images/nonewprivs', '1.3', [base, one_file('nnp', inputs.program('nnp'), mode=0o4755)],
              {'Env': [PATH], 'Entrypoint': ['/nnp']})

    web = inputs.nginx()
    reg.image('e2e-test-images/nginx', '1.14-2', [base, web, nginx_config(80)], dict(NGINX, ExposedPorts={'80/tcp': {}}))
    reg.image(STAGING + 'hostnet-nginx-amd64', 'latest', [base, web, nginx_config(12003, False)],
              dict(NGINX, ExposedPorts={'12003/tcp': {}}))
    httpd = Layer().file('srv/www/index.html', '<html><body>fixture httpd</body></html>\n').file(
        'start-httpd', '#!/bin/sh\necho "httpd: starting" >&2\nexec httpd -f -v -p 80 -h /srv/www\n', 0o755).done()
    reg.image('e2e-test-images/httpd', '2.4.39-4', [base, httpd],
              {'Env': [PATH], 'Cmd': ['/start-httpd'], 'ExposedPorts': {'80/tcp': {}}})

    for name, user in (('uid', '1002'), ('username', 'www-data'), ('uid-group', '1003:users'),
                       ('username-group', 'www-data:100')):
        reg.image(f'{STAGING}test-image-user-{name}', 'latest', [base], dict(SHELL, User=user))
    users = Layer().file('etc/passwd', PASSWD + 'default-user:x:1000:1000::/home/default-user:/bin/sh\n')
    users.file('etc/group', GROUP + 'default-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n')
    users.dir('home/default-user', owner=(1000, 1000))
    reg.image(STAGING + 'test-image-predefined-group', 'latest', [base, users.done()], dict(SHELL, User='1000'))
    for name, tag in (('latest', 'latest'), ('digest', 'test'), ('1', 'latest'), ('2', 'latest'), ('3', 'latest')):
        reg.image(f'{STAGING}test-image-{name}', tag, [base, one_file('test-image-' + name, name)], SHELL)
    for tag in ('test', 'all'):
        reg.image(STAGING + 'test-image-tag', tag, [base, one_file('test-image-tag-' + tag, tag)], SHELL)
    tags = one_file('test-image-tags', 't')
    for tag in '123':
        reg.image(STAGING + 'test-image-tags', tag, [base, tags], SHELL)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--inputs', required=True)
    parser.add_argument('--registry', default='http://127.0.0.1:5000')
    parser.add_argument('sets', nargs='+', choices=('demo', 'tests', 'critest'))
    args = parser.parse_args()
    reg, inputs = Registry(args.registry), Inputs(args.inputs)
    for name in args.sets:
        {'demo': demo, 'tests': tests, 'critest': critest}[name](reg, inputs)
    known = inputs.path('digests.json')
    before = json.load(open(known)) if os.path.exists(known) else {}
    with open(known, 'w') as out:
        json.dump({**before, **reg.pushed}, out, indent=1, sort_keys=True)


main()
