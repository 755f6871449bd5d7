# OpenStack Swift with its S3 API in one process, for tests: proxy, account, container and object server on loopback, one
# copy of everything in a folder. It really checks signatures and expiry. Told what it needs as one JSON argument.
import json
import os
import sys
import threading

import eventlet

eventlet.patcher.monkey_patch(all=False, socket=True, select=True, thread=True)

from eventlet import wsgi  # noqa: E402
from swift.common import utils  # noqa: E402

# Else it is read from /etc/swift, which is not ours.
utils.HASH_PATH_SUFFIX = b"sendoff"

from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

given = json.loads(sys.argv[1])
folder = given["folder"]

COMMON = """[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
user = {user}
log_name = {name}
log_level = ERROR
log_address = {folder}/nowhere
bind_ip = 127.0.0.1
"""

PROXY = """
[pipeline:main]
pipeline = catch_errors s3api tempauth bulk slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
check_bucket_owner = false
min_segment_size = 5242880
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""

STORAGE = """
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""


class NoCache:
    """Stands where Swift wants a memcached, and remembers nothing."""

    def get(self, *_, **__):
        return None

    def set(self, *_, **__):
        pass

    def delete(self, *_, **__):
        pass

    def incr(self, *_, delta=1, **__):
        return delta

    def get_multi(self, keys, *_, **__):
        return [None for _ in keys]

    def set_multi(self, *_, **__):
        pass


def with_cache(app):
    def call(env, start_response):
        env["swift.cache"] = NoCache()
        return app(env, start_response)

    return call


def listen(port):
    return eventlet.listen(("127.0.0.1", port), backlog=128)


def serve(name, sock):
    path = os.path.join(folder, name + ".conf")
    with open(path, "w") as conf:
        part = PROXY if name == "proxy" else STORAGE.format(name=name)
        conf.write(COMMON.format(folder=folder, user=given["user"], name=name) + part)
    app = with_cache(loadapp(path)) if name == "proxy" else loadapp(path)
    eventlet.spawn(wsgi.server, sock, app, log_output=False, keepalive=False)


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


os.makedirs(os.path.join(folder, "devices", "d1"), exist_ok=True)
sockets = {name: listen(0) for name in ("account", "container", "object")}
for name, sock in sockets.items():
    builder = RingBuilder(1, 1, 1)
    builder.add_dev(
        {
            "id": 0, "region": 1, "zone": 1, "weight": 1.0, "device": "d1", "meta": "",
            "ip": "127.0.0.1", "port": sock.getsockname()[1],
            "replication_ip": "127.0.0.1", "replication_port": sock.getsockname()[1],
        }
    )
    builder.rebalance()
    builder.get_ring().save(os.path.join(folder, name + ".ring.gz"))
for name, sock in sockets.items():
    serve(name, sock)
proxy = listen(0)
serve("proxy", proxy)
print("listening on %d" % proxy.getsockname()[1], flush=True)
eventlet.patcher.original("threading").Thread(target=end_with_parent, daemon=True).start()
while True:
    eventlet.sleep(3600)
