"""Holds a connection to an echo port until somebody ends it. Arguments: the daemon's socket, the address with its port."""

import sys

from pilotprotocol import Driver

socket, address = sys.argv[1:3]
with Driver(socket) as driver:
    conn = driver.dial(address)
    conn.write(b"held")
    print(conn.read(100).decode("latin1"), flush=True)
    try:
        while conn.read(100):
            pass
    except Exception as error:
        print("raised", error, flush=True)
    print("ended", flush=True)
