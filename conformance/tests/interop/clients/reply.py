"""Answers a message as the reference's service agents do: dials back and names the message it answers.

Arguments: the daemon's socket, the asking node's address, the message's identifier, the answer."""

import struct
import sys

from pilotprotocol import Driver

socket, address, message_id, answer = sys.argv[1:5]
header = ('{"message_id":"0123456789abcdef0123456789abcdef","reply_to":"%s"}' % message_id).encode()
tagged = struct.pack(">H", len(header)) + header + struct.pack(">I", 1) + answer.encode()
with Driver(socket) as driver, driver.dial(f"{address}:1001") as conn:
    conn.write(struct.pack(">II", 10, len(tagged)) + tagged)
    print(conn.read(1000).decode("latin1")[8:])
