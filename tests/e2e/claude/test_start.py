"""Claude Code from the npm registry, installed as a user would: found, granted and started without configuration."""
import claude
import sandbox


class Start(claude.ClaudeTest):
    def test_version_and_help(self):
        done = self.dirbox("claude", "--version")
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(done.out.strip(), claude.VERSION + " (Claude Code)")
        done = self.dirbox("claude", "--help")
        self.assertEqual(done.code, 0, done.err)
        self.assertRegex(done.out, "Usage: claude")

    def test_the_plan_names_the_installation(self):
        done = self.dirbox("claude", "--version", options=("--dry-run",))
        self.assertEqual(done.code, 0, done.err)
        self.assertRegex(done.out, r"\.npm-global/lib/node_modules is readable: install tree of claude")

    def test_the_installation_cannot_be_written(self):
        # Not the program itself: while it runs somewhere, the kernel's answer is ETXTBSY.
        done = self.dirbox("sh", "-c", 'echo x >> "$(dirname "$(readlink -f "$(command -v claude)")")/../package.json"')
        self.assertNotEqual(done.code, 0)
        self.assertRegex(done.err, "Read-only file system|Permission denied")


if __name__ == "__main__":
    sandbox.main()
