"""What Python can't be faster than: a protocol on uvloop that writes a constant for every empty line. Prints its port."""

import asyncio

import uvloop

REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\nContent-Length: 43\r\n\r\n" + b"GIF89a" + bytes(37)


class Constant(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(REPLY * data.count(b"\r\n\r\n"))


async def main():
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


uvloop.run(main())
