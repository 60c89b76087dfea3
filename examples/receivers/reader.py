"""Reads what a sink sends over TCP in the default framing; says its port, then each message in hex."""
import socket, struct, sys

LENGTH = struct.Struct(">I")  # before every message; "<H" for `Prefixed<U16Le>`, and so on

listener = socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
print(listener.getsockname()[1], flush=True)
while True:  # a sink that slept, or lost its connection, comes back with a new one
    with listener.accept()[0] as connection, connection.makefile("rb") as stream:
        while len(header := stream.read(LENGTH.size)) == LENGTH.size:
            (length,) = LENGTH.unpack(header)
            message = stream.read(length)
            if len(message) == length:  # or it was cut off, and comes whole on the next connection
                print(message.hex(), flush=True)
