"""Codex from the npm registry by the profile codex: it works, resumes, and its own sandbox is not needed."""
import http.server
import json
import os
import shutil
import subprocess
import threading

import npm
import sandbox

VERSION = "0.169.0"


class ResponsesApi:
    """Asks for each command in turn, in the Responses API of OpenAI, then says "done". Keeps what came of them."""

    def __init__(self, commands):
        self.outputs, self.asked = {}, ""
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                item = api.next_item(body, commands)
                response = {"id": "resp_1", "object": "response", "status": "completed", "output": [item],
                            "model": body.get("model"),
                            "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2,
                                      "input_tokens_details": {"cached_tokens": 0},
                                      "output_tokens_details": {"reasoning_tokens": 0}}}
                events = [("response.created", {"response": {**response, "status": "in_progress", "output": []}}),
                          ("response.output_item.done", {"output_index": 0, "item": item}),
                          ("response.completed", {"response": response})]
                text = "".join(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n"
                               for name, data in events).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def next_item(self, body, commands):
        self.asked = json.dumps(body.get("input"))
        done = 0
        for item in body.get("input", []):
            if item.get("type") == "function_call_output":
                self.outputs[item["call_id"]] = json.dumps(item["output"])
                done = max(done, int(item["call_id"].rsplit("_", 1)[1]) + 1)
        if done >= len(commands):
            return {"type": "message", "id": f"msg_{done}", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": "done", "annotations": []}]}
        offered = [tool.get("name") for tool in body.get("tools", [])]
        tool = next((name for name in ("exec_command", "shell_command", "shell") if name in offered), "shell")
        arguments = {"exec_command": {"cmd": commands[done]}, "shell_command": {"command": commands[done]},
                     "shell": {"command": ["bash", "-c", commands[done]]}}[tool]
        return {"type": "function_call", "id": f"fc_{done}", "call_id": f"call_{done}", "name": tool,
                "arguments": json.dumps(arguments), "status": "completed"}


class Codex(sandbox.Boundary):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(cls.world.close)
        os.makedirs(cls.world.home + "/.local", exist_ok=True)
        subprocess.run(["cp", "-al", npm.install("@openai/codex@" + VERSION), cls.world.home + "/.npm-global"], check=True)
        cls.world.environment["PATH"] = cls.world.home + "/.npm-global/bin:/usr/local/bin:/usr/bin:/bin"
        cls.world.environment["OPENAI_API_KEY"] = "sk-test-0123456789"

    def codex(self, api, *words):
        provider = f'model_providers.test={{name="test",base_url="http://127.0.0.1:{api.port}/v1",' \
                   'wire_api="responses",env_key="OPENAI_API_KEY"}'
        return self.dirbox("codex", "exec", "-c", provider, "-c", 'model_provider="test"', "-m", "test-model", "--skip-git-repo-check",
                           "--dangerously-bypass-approvals-and-sandbox", *words,
                           options=("-p", "codex", "--host-port", str(api.port)))

    def tearDown(self):
        shutil.rmtree(self.home(".codex"), ignore_errors=True)
        super().tearDown()

    def test_commands_run_and_are_confined(self):
        api = ResponsesApi(["echo made > made && git status --short", "cat ~/.ssh/id_rsa ~/.claude/.credentials.json",
                            "curl -sS -m 10 https://example.com"])
        self.addCleanup(api.close)
        done = self.codex(api, "work")
        self.assertEqual(done.code, 0, done)
        self.assertEqual(len(api.outputs), 3, f"{api.outputs} {done}")
        self.assertIn("made", api.outputs["call_0"])
        self.assertIn("No such file", api.outputs["call_1"])
        self.assertRegex(api.outputs["call_2"], "403|Could not resolve")
        self.assertTrue(os.path.exists(self.project("made")))
        os.remove(self.project("made"))

        later = ResponsesApi([])
        self.addCleanup(later.close)
        done = self.codex(later, "resume", "--last", "and on")
        self.assertEqual(done.code, 0, done)
        self.assertIn("echo made", later.asked, "the session was kept on the host")


if __name__ == "__main__":
    sandbox.main()
