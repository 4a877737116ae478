"""A tmux server of a test's own: types at a program and looks at the screen that it paints."""
import os
import re
import shlex
import shutil
import subprocess
import tempfile

import sandbox


class Tmux:
    """One window with an interactive bash, whose prompt is "ready>" and which says the status of each command."""

    def __init__(self, cwd, env, columns=100, rows=36):
        self.folder = tempfile.mkdtemp(prefix="dirbox-tmux-")
        self.socket = os.path.join(self.folder, "socket")
        self.environment = {**env, "TMUX": "", "HISTFILE": ""}
        self.run("new-session", "-d", "-s", "test", "-x", str(columns), "-y", str(rows), "-c", cwd,
                 "exec bash --norc --noprofile -i")
        self.type("PS1='ready''> '; PROMPT_COMMAND='echo status''=$?'; clear", "Enter")
        self.wait_for("(?m)^ready>")

    def run(self, *words, check=True):
        done = subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", *words], env=self.environment, text=True,
                              capture_output=True, timeout=sandbox.PATIENCE)
        if check and done.returncode != 0:
            raise AssertionError(f"tmux {shlex.join(words)}: {done.stderr}")
        return done.stdout

    def screen(self, lines=0):
        """What is seen, and `lines` of what has scrolled away."""
        return self.run("capture-pane", "-p", "-t", "test", "-S", str(-lines), check=False)

    def wait_for(self, pattern, lines=0, patience=sandbox.PATIENCE):
        try:
            sandbox.wait_until(lambda: re.search(pattern, self.screen(lines)), pattern, patience)
        except AssertionError as error:
            raise AssertionError(f"the screen never showed {pattern!r}:\n{self.screen(lines)}") from error
        return re.search(pattern, self.screen(lines))

    def type(self, text, *keys):
        """Text as it is, then keys by tmux's names for them."""
        if text:
            self.run("send-keys", "-t", "test", "-l", text)
        if keys:
            self.run("send-keys", "-t", "test", *keys)

    def wait_for_end(self, status=0):
        """The last command has ended and the shell waits for another one."""
        self.wait_for(rf"status={status}\nready>\s*\Z")

    def answer(self, question, *keys):
        """Keys for a dialog. A program that has painted it need not listen yet: while it is there they come again."""
        self.wait_for(question)
        for _ in range(10):
            self.type("", *keys)
            try:
                sandbox.wait_until(lambda: not re.search(question, self.screen()), question, patience=3)
                return
            except AssertionError:
                continue
        raise AssertionError(f"{question!r} does not go away:\n{self.screen()}")

    def command(self, *words):
        """A command line for the shell in the window."""
        self.type(shlex.join(words), "Enter")

    def resize(self, columns, rows):
        self.run("resize-window", "-t", "test", "-x", str(columns), "-y", str(rows))

    def pane_process(self):
        """The shell's process id."""
        return int(self.run("display-message", "-p", "-t", "test", "#{pane_pid}"))

    def close(self):
        self.run("kill-server", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
