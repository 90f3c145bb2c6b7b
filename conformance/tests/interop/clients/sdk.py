"""Uses every documented method of the package `pilotprotocol` on two daemons; prints what each gave, in JSON.

Arguments: the sockets of the two daemons, a file to send."""

import base64
import json
import sys
import threading
import time

from pilotprotocol import Driver

first_socket, second_socket, path = sys.argv[1:4]
results = {}


def note(name, work):
    try:
        value = work()
        results[name] = {"gave": value.decode("latin1") if isinstance(value, bytes) else value}
    except Exception as error:  # what a user would see
        results[name] = {"raised": str(error)}


def within(seconds, work):
    """What `work` gives, from a thread of its own: a call without a deadline must not hold the program."""
    box = {}
    thread = threading.Thread(target=lambda: box.update(value=work()), daemon=True)
    thread.start()
    thread.join(seconds)
    return box.get("value", "nothing in time")


def until(work):
    """`work` again and again until it gives something."""
    for _ in range(300):
        value = work()
        if value:
            return value
        time.sleep(0.1)
    return None


def exchange(bytes_sent, read):
    with first.dial(f"{second_address}:7") as conn:
        conn.write(bytes_sent)
        return read(conn)


def echo(count):
    def read(conn):
        received = b""
        while len(received) < count:
            received += conn.read(65536)
        return len(received)

    return exchange(b"x" * count, read)


def deadline():
    with first.dial(f"{second_address}:7") as conn:
        conn.set_read_deadline(time.time() + 0.5)
        return conn.read(10)


def listener():
    listening = second.listen(4000)
    heard = {}

    def serve():
        conn = listening.accept()
        heard["request"] = conn.read(100).decode()
        conn.write(b"pong")
        heard["end"] = end_of(conn)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    conn = first.dial(f"{second_address}:4000")
    conn.write(b"ping")
    heard["reply"] = conn.read(100).decode()
    conn.close()
    thread.join(20)
    listening.close()
    return heard


def end_of(conn):
    try:
        return conn.read(10).decode()
    except Exception as error:
        return str(error)


def datagram():
    box = {}
    thread = threading.Thread(target=lambda: box.update(second.recv_from()), daemon=True)
    thread.start()
    until(lambda: first.send_to(f"{second_address}:5000", b"datagram") or thread.join(0.2) or box)
    box["data"] = base64.b64decode(box["data"]).decode()
    return box


def event():
    heard = []
    subscriber = Driver(first_socket)
    work = lambda: subscriber.subscribe_event(second_address, "news", lambda *said: heard.append(repr(said)), 30)
    threading.Thread(target=lambda: list(work() or ()), daemon=True).start()
    published = until(lambda: first.publish_event(second_address, "news", b"extra") and heard)
    return published[0]


first, second = Driver(first_socket), Driver(second_socket)
note("info", first.info)
me, other = first.info(), second.info()
second_address, my_node, other_node = other["address"], me["node_id"], other["node_id"]

note("health", first.health)
note("handshake", lambda: first.handshake(other_node, "from Python"))
note("pending", lambda: until(lambda: second.pending_handshakes()["pending"]))
note("approve_handshake", lambda: second.approve_handshake(my_node))
note("trusted_peers", lambda: until(lambda: first.trusted_peers()["trusted"]))
note("set_hostname", lambda: first.set_hostname(f"python-{my_node}"))
note("resolve_hostname", lambda: second.resolve_hostname(f"python-{my_node}"))
note("resolve_hostname of nobody", lambda: second.resolve_hostname("nobody-has-this-name"))
note("clear hostname", lambda: first.set_hostname(""))
note("set_visibility", lambda: first.set_visibility(True))
note("set_tags", lambda: first.set_tags(["a", "b"]))
note("echo", lambda: exchange(b"hello", lambda conn: conn.read(100)))
note("echo of 1 MB", lambda: within(30, lambda: echo(1_000_000)))
note("read deadline", deadline)
note("listener", lambda: within(30, listener))
note("dial of a closed port", lambda: first.dial(f"{second_address}:4999"))
note("datagram", lambda: within(30, datagram))
note("send_message", lambda: first.send_message(second_address, b"\x00\xff", "binary"))
note("send_file", lambda: first.send_file(second_address, path))
note("event", lambda: within(40, event))
note("network_list", first.network_list)
note("network_members", lambda: first.network_members(77))
note("network_join", lambda: first.network_join(77))
note("network_poll_invites", first.network_poll_invites)
note("network_respond_invite", lambda: first.network_respond_invite(77, True))
note("managed_status", lambda: first.managed_status(77))
note("policy_get", lambda: first.policy_get(77))
note("member_tags_get", lambda: first.member_tags_get(77, other_node))
note("broadcast", lambda: first.broadcast(77, 5000, b"x", ""))
note("disconnect", lambda: first.disconnect(4294967295))
note("rotate_key", first.rotate_key)
note("set_webhook", lambda: first.set_webhook("http://127.0.0.1:1/"))
note("revoke_trust", lambda: first.revoke_trust(other_node))
note("revoke_trust again", lambda: first.revoke_trust(other_node))
note("deregister", first.deregister)
print(json.dumps(results))
sys.stdout.flush()
# Threads that wait for ever do not keep it.
__import__("os")._exit(0)
