"""A bot of Poe's protocol behind TLS: tls_poe.py PORT CERTIFICATE KEY"""

import http.server
import ssl
import sys


class Poe(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        events = b'event: text\ndata: {"text": "over "}\n\nevent: text\ndata: {"text": "TLS"}\n\nevent: done\ndata: {}\n\n'
        self.answer("text/event-stream", events)

    def do_GET(self):
        self.answer("application/json", b'{"object": "list", "data": []}')

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


port, certificate, key = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Poe)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
