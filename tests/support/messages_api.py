"""A stand-in for the Messages API of Anthropic, so that the real Claude Code can be tested without a network.

A test writes down what the model would answer, a Turn for each assistant message, and reads back what Claude Code did
with it. Which turn comes next is read from the conversation that the request carries, not remembered: a retry gets the
same answer again, and a resumed session goes on where it stopped, if its history was kept.

    api = MessagesApi([run("git status", label="status"), say("finished")], certificate)
    ... start claude, for which api.anthropic.com leads to api.port ...
    api.result("status").text
"""
import collections
import http.server
import json
import re
import ssl
import threading
import time

KEY = "sk-ant-test-0123456789012345678901234567890123456789"
MODEL = "claude-stand-in"

Result = collections.namedtuple("Result", "text failed seconds")
Turn = collections.namedtuple("Turn", "blocks")
_Call = collections.namedtuple("_Call", "tool input label")


def say(text):
    """An assistant message without a tool, which ends what the user asked for."""
    return Turn([text])


def call(tool, label=None, **arguments):
    return Turn([_Call(tool, arguments, label or tool)])


def run(command, label=None, **arguments):
    """A Bash call. `label`: the command itself where none is given."""
    return call("Bash", label or command, command=command, description=label or "a command", **arguments)


def read(path, label="read"):
    return call("Read", label, file_path=path)


def write(path, content, label="write"):
    return call("Write", label, file_path=path, content=content)


def edit(path, old, new, label="edit"):
    return call("Edit", label, file_path=path, old_string=old, new_string=new)


def together(*turns):
    """One message with the calls of several."""
    return Turn([block for turn in turns for block in turn.blocks])


def _text_of(content):
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part.get("text", "") for part in parts if isinstance(part, dict))


class MessagesApi:
    """Serves `turns` on the host's loopback at `port`, with TLS when it gets a (certificate, key)."""

    def __init__(self, turns, certificate=None):
        self.turns = turns
        self.requests = []  # (method, path without query)
        self.prompts = []  # what users typed, as far as requests carried it
        self._results, self._sent = {}, {}
        self._news = threading.Condition()
        api = self

        class Handler(_Handler):
            stand_in = api

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # clients that are killed are part of these tests

        self.server = Server(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # What came of the turns.
    def result(self, label):
        """The Result of the call with this label; AssertionError where none has come."""
        with self._news:
            for (turn, index), result in self._results.items():
                if self.turns[turn].blocks[index].label == label:
                    return result
        raise AssertionError(f"no result for {label!r}; results: {self.labels()}")

    def labels(self):
        with self._news:
            return [self.turns[turn].blocks[index].label for turn, index in sorted(self._results)]

    # The protocol.
    def answer(self, body):
        """The message for one request to /v1/messages."""
        messages = body.get("messages", [])
        self._note(messages)
        offered = {tool.get("name") for tool in body.get("tools", [])}
        number = _next_turn(messages) if offered & {"Bash", "Read"} else -1
        if number < 0:  # a title, a summary, a probe of the quota
            turn = say('{"title": "a test", "isNewTopic": false}')
        elif number < len(self.turns):
            turn = self.turns[number]
        else:
            turn = say("nothing more to do")
        blocks, tools = [], False
        for index, block in enumerate(turn.blocks):
            if isinstance(block, str):
                blocks.append({"type": "text", "text": block})
                continue
            tools = True
            name = f"toolu_t{number:04}x{index:02}"
            with self._news:
                self._sent.setdefault((number, index), time.monotonic())
            blocks.append({"type": "tool_use", "id": name, "name": block.tool, "input": block.input})
        return {"id": f"msg_{max(number, 0):06}", "type": "message", "role": "assistant",
                "model": body.get("model", MODEL), "content": blocks, "stop_sequence": None,
                "stop_reason": "tool_use" if tools else "end_turn",
                "usage": {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 0,
                          "cache_read_input_tokens": 0}}

    def _note(self, messages):
        now = time.monotonic()
        for message in messages:
            if message.get("role") != "user":
                continue
            content = message.get("content")
            if isinstance(content, str):
                content = [{"type": "text", "text": content}]
            for block in content or []:
                if block.get("type") == "text" and block["text"] not in self.prompts:
                    self.prompts.append(block["text"])
                place = _place(block.get("tool_use_id", ""))
                if block.get("type") != "tool_result" or place is None or place[0] >= len(self.turns):
                    continue
                with self._news:
                    if place not in self._results:
                        started = self._sent.get(place, now)
                        self._results[place] = Result(_text_of(block.get("content")), bool(block.get("is_error")),
                                                      now - started)
                    self._news.notify_all()


def _place(identifier):
    match = re.fullmatch(r"toolu_t(\d+)x(\d+)", identifier)
    return (int(match[1]), int(match[2])) if match else None


def _next_turn(messages):
    """One more than the last turn that the conversation holds. A turn without a call counts as the one after."""
    last = -1
    for message in messages:
        if message.get("role") != "assistant":
            continue
        content = message.get("content")
        places = [_place(block.get("id", "")) for block in content if isinstance(block, dict)] \
            if isinstance(content, list) else []
        numbers = [place[0] for place in places if place]
        last = max(numbers) if numbers else last + 1
    return last + 1


def _events(message):
    """The message as a stream of (event name, data)."""
    yield "message_start", {"message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            start, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            start = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield "content_block_start", {"index": index, "content_block": start}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    yield "message_delta", {"delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
                            "usage": {"output_tokens": 1}}
    yield "message_stop", {}


# What Claude Code asks beside messages, and answers with which it is content.
_SIDE_ANSWERS = {
    "/v1/messages/count_tokens": {"input_tokens": 1},
    "/api/claude_code/policy_limits": {"restrictions": {}},
    "/api/web/domain_info": {"domain": "", "can_fetch": True},
    "/api/hello": {"message": "hello"},
}
_ABSENT = ("/api/oauth", "/mcp-registry", "/api/claude_code/settings")


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in = None

    def log_message(self, *args):
        pass

    def _body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _reply(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _stream(self, message):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        text = "".join(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n"
                       for name, data in _events(message)).encode()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text))

    def _serve(self):
        raw = self._body()
        path = self.path.split("?")[0]
        self.stand_in.requests.append((self.command, path))
        if self.command == "POST" and path == "/v1/messages":
            body = json.loads(raw)
            message = self.stand_in.answer(body)
            return self._stream(message) if body.get("stream") else self._reply(200, message)
        if path.startswith(_ABSENT):
            return self._reply(404, {"type": "error", "error": {"type": "not_found_error", "message": "absent"}})
        return self._reply(200, _SIDE_ANSWERS.get(path, {}))

    do_GET = do_POST = do_PUT = do_HEAD = do_PATCH = do_DELETE = _serve
