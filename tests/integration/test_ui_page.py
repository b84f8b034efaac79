"""The page of berth ui, in a headless Chromium."""
import re
import unittest

from harness import browser
from harness.engine import IMAGE, eventually
from harness.ui import UiCase

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@unittest.skipIf(browser.missing(), browser.missing() or "")
class Page(UiCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.browser = browser.Browser()
        except BaseException:
            super().tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.browser.visit("about:blank")
        self.browser.size(1280, 800)
        self.browser.visit(self.ui.address)
        self.browser.wait("h1")

    def tearDown(self):
        # No test leaves errors of scripts or breaches of the content security policy.
        complaints = [line for line in self.browser.console() if "Failed to load resource" not in line and "WebSocket connection" not in line]
        super().tearDown()
        self.assertEqual(complaints, [])

    def row(self, name):
        self.browser.wait(f'tr[data-id="{self.engine.inspect(name)["Id"]}"]')
        return f'tr[data-id="{self.engine.inspect(name)["Id"]}"]'

    def test_signing_in(self):
        page = self.browser
        self.assertEqual(page.run("return location.hash"), "#/containers")  # the token is out of the address
        self.assertEqual(page.run("return document.cookie"), "")  # and the cookie out of scripts' reach
        page.run("localStorage.clear()")
        page.visit("about:blank")
        page.visit(f"http://127.0.0.1:{self.ui.port}/")
        page.wait_for_text("h1", "Sign in")
        page.click("#token")
        page.type("wrong", "Enter")
        page.wait_for_text(".problem", "not the token")
        page.click("#token")
        page.type(self.ui.address, "Enter")
        page.wait_for_text("h1", "Containers")

    def test_an_empty_engine_says_what_to_do(self):
        self.browser.wait_for_text(".empty", "No containers yet")
        self.browser.click('a[data-view="volumes"]')
        self.browser.wait_for_text(".empty", "berth volume create")
        self.browser.click('a[data-view="networks"]')
        self.browser.wait_for_text("main", "bridge")
        self.browser.click('a[data-view="images"]')
        self.browser.wait_for_text("main", IMAGE)

    def test_a_container_comes_stops_starts_and_goes(self):
        page = self.browser
        page.wait_for_text("main", "No containers yet")
        name = self.start("sleep", "1000", flags=("-p", "127.0.0.1::80", "--stop-signal", "KILL"))
        row = self.row(name)  # by an event, without a reload
        page.wait_for_text(row, "Up")
        port = self.ok("port", name, "80").text.rsplit(":", 1)[1]
        self.assertEqual(page.run("return document.querySelector(arguments[0]).href", f"{row} a.port"), f"http://127.0.0.1:{port}/")
        page.wait_for_text(f"{row} .cpu", "%")
        page.wait_for_text(f"{row} .memory", "B")
        page.click(f'{row} [data-verb="stop"]')
        page.wait_for_text(row, "Exited")
        page.wait_for_text("#toasts", f"{name} stopped")
        page.click(f'{row} [data-verb="start"]')
        self.engine.wait_for_status(name, "running")
        page.wait_for_text(row, "Up")
        page.click(f'{row} [data-verb="remove"]')
        page.click("dialog button.danger")
        eventually(lambda: not page.find(row), "the row has gone")
        self.fails(1, "inspect", name)

    def test_the_filter_and_the_switch(self):
        page = self.browser
        one = self.start("sleep", "1000", flags=("--label", "colour=green"))
        other = self.name()
        self.ok("create", "--name", other, IMAGE, "true")
        self.row(one)
        self.row(other)
        names = lambda: page.run("return [...document.querySelectorAll('tbody a.name')].map(a => a.textContent)")
        page.type("/")
        page.type("GREEN")
        eventually(lambda: names() == [one], "one by its label")
        page.type("xyz")
        page.wait_for_text(".empty", "None of 2 containers matches")
        page.click(".empty button")
        eventually(lambda: sorted(names()) == sorted([one, other]), "both")
        page.click(".switch button:nth-child(3)")
        eventually(lambda: names() == [other], "what does not run")

    def test_keys(self):
        page = self.browser
        page.type("?")
        page.wait("dialog.help[open]")
        self.assertIn("Restart it", page.text("dialog.help"))
        page.type("", "Escape")
        eventually(lambda: not page.find("dialog"), "the overlay has gone")
        name = self.start("sh", "-c", "echo hello from here; sleep 1000", flags=("--stop-signal", "KILL"))
        self.row(name)
        page.type("j")
        eventually(lambda: page.focused() == name, "the row has the focus")
        page.type("l")
        page.wait_for_text(".log", "hello from here")
        page.type("", "Escape")
        page.wait_for_text("h1", "Containers")
        page.type("3")
        page.wait_for_text("h1", "Networks")
        page.type("1")
        self.row(name)
        page.type("j")
        page.type("s")
        page.wait_for_text(self.row(name), "Exited")
        page.type("x")
        page.wait("dialog[open]")
        page.type("", "Escape")
        eventually(lambda: not page.find("dialog"), "it was not meant")
        self.assertEqual(self.engine.inspect(name)["State"]["Status"], "exited")

    def test_logs_live(self):
        page = self.browser
        name = self.start("sh", "-c", "printf '\\033[31mred\\033[0m plain\\n'; echo bad >&2; while read line; do echo got $line; done", flags=("-i",))
        page.visit(f"http://127.0.0.1:{self.ui.port}/#/containers/{self.engine.inspect(name)['Id']}/logs")
        page.wait_for_text(".log", "red plain")
        page.wait_for_text(".log .error", "bad")
        self.assertEqual(page.text(".log .fg1"), "red")
        with self.engine.popen("attach", name, stdin=-1) as client:
            client.stdin.write(b"later\n")
            client.stdin.flush()
            page.wait_for_text(".log", "got later")
        page.type("/")
        page.type("later")
        eventually(lambda: page.text(".log").strip() == "got later", "the filter")

    def test_charts_live(self):
        page = self.browser
        name = self.start("sh", "-c", "while :; do :; done")
        page.visit(f"http://127.0.0.1:{self.ui.port}/#/containers/{self.engine.inspect(name)['Id']}/stats")
        for title in ("CPU", "Memory", "Network", "Block devices"):
            page.wait_for_text(".charts", title)
        eventually(lambda: page.run("return document.querySelector('.chart .stroke').getAttribute('d')?.split('L').length > 2"), "CPU has a line")
        eventually(lambda: float(page.text(".chart .now").rstrip(" %") or 0) > 5, "a busy loop shows")
        self.assertIn("CPU", page.run("return document.querySelector('.chart svg').getAttribute('aria-label')"))

    def test_a_terminal(self):
        page = self.browser
        name = self.start("sleep", "1000")
        page.visit(f"http://127.0.0.1:{self.ui.port}/#/containers/{self.engine.inspect(name)['Id']}/terminal")
        eventually(lambda: "Terminal input" in page.focused(), "the terminal has the focus")
        page.wait(".t-cursor")
        page.type("echo $((6*7)); printf '\\033[32mgreen\\033[0m\\n'; stty size", "Enter")
        page.wait_for_text(".rows", "\n42\n")
        eventually(lambda: page.text(".rows .fg2") == "green", "colours")
        rows, columns = map(int, eventually(lambda: re.search(r"\n(\d+) (\d+)\n", page.text(".rows")), "it knows its size").groups())
        self.assertNotEqual((rows, columns), (24, 80))
        self.assertGreater(columns, 100)  # of a window of 1,280 pixels
        page.type("exit", "Enter")
        page.wait_for_text(".toolbar", "Ended with 0")

    def test_the_screen(self):
        """The terminal's emulation by itself: what is written, and what stands there then."""
        def screen(text, columns=10, rows=4):
            return self.browser.run("""
                const {Screen} = await import('/screen.js');
                const replies = [];
                const screen = new Screen(arguments[1], arguments[2], text => replies.push(text));
                for (const piece of arguments[0].match(/[^]{1,3}/gu) ?? []) screen.write(piece);
                return {lines: screen.lines.map(row => row.text.join('').trimEnd()), x: screen.x, y: screen.y, replies,
                        back: screen.scrollback.length, title: screen.title, modes: screen.modes};""", text, columns, rows)
        self.assertEqual(screen("ab\r\ncd")["lines"], ["ab", "cd", "", ""])
        self.assertEqual(screen("0123456789ab")["lines"][:2], ["0123456789", "ab"])
        self.assertEqual(screen("abc\x1b[2D\x1b[K")["lines"][0], "a")
        self.assertEqual(screen("\x1b[3;4Hx")["lines"], ["", "", "   x", ""])
        self.assertEqual(screen("a\r\nb\r\nc\r\nd\r\ne")["lines"], ["b", "c", "d", "e"])
        self.assertEqual(screen("a\r\nb\r\nc\r\nd\r\ne")["back"], 1)
        self.assertEqual(screen("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\n")["lines"], ["1", "3", "", "4"])
        self.assertEqual(screen("1\r\n2\r\n3\x1b[2;1H\x1b[L")["lines"], ["1", "", "2", "3"])
        self.assertEqual(screen("1\r\n2\r\n3\x1b[1;1H\x1b[M")["lines"], ["2", "3", "", ""])
        self.assertEqual(screen("abcdef\x1b[1;2H\x1b[2P")["lines"][0], "adef")
        self.assertEqual(screen("abc\x1b[1;2H\x1b[2@")["lines"][0], "a  bc")
        self.assertEqual(screen("main\x1b[?1049hother")["lines"][0], "    other")
        self.assertEqual(screen("main\x1b[?1049hother\x1b[?1049l")["lines"][0], "main")
        self.assertEqual(screen("a\x1b]0;title\x07b\x1b]2;t2\x1b\\c")["lines"][0], "abc")
        self.assertEqual(screen("\x1b]0;title\x07")["title"], "title")
        self.assertEqual(screen("ab\x1b[6n")["replies"], ["\x1b[1;3R"])
        self.assertEqual(screen("\x1b(0lqk\x1b(B")["lines"][0], "┌─┐")
        self.assertEqual(screen("漢字x")["x"], 5)
        self.assertEqual(screen("e\u0301x")["lines"][0], "e\u0301x")
        self.assertEqual(screen("x\x1b[5b")["lines"][0], "xxxxxx")
        self.assertTrue(screen("\x1b[?2004h")["modes"]["bracketedPaste"])
        # Hostile: bounded, and the next letter is a letter again.
        for bad in ("\x1b[" + "9;" * 5000 + "m", "\x1b[999999999;999999999H", "\x1b[99999L", "\x1b[99999S", "\x1b]0;" + "x" * 100000 + "\x07",
                    "\x1b[99999b", "\x1b[?99999h", "\x1b[38;5m\x1b[48;2;1m", "\x1bP" + "y" * 9000 + "\x1b\\", "\x1b[4h" + "z" * 500):
            self.assertIn("ok", "".join(screen(bad + "\x1bc" + "ok")["lines"]), bad[:20])

    def test_names_and_texts_of_containers_are_no_markup(self):
        page = self.browser
        name = self.start("sh", "-c", "echo \"$EVIL\"; sleep 1000",
                          flags=("--label", f"com.docker.compose.project={HOSTILE}", "--label", "<b>bold</b>=1", "-e", f"EVIL={HOSTILE}"))
        page.wait_for_text(self.row(name), "<img src=x")
        ident = self.engine.inspect(name)["Id"]
        for tab in ("overview", "inspect", "logs"):
            page.visit(f"http://127.0.0.1:{self.ui.port}/#/containers/{ident}/{tab}")
            page.wait_for_text(".panel", "onerror=")
        page.click('a[data-view="events"]')
        page.wait_for_text("main", name)
        self.assertNotEqual(page.run("return document.title"), "owned")
        self.assertEqual(page.run("return document.querySelectorAll('main img, main script').length"), 0)

    def test_a_dead_engine_is_told_and_comes_back(self):
        page = self.browser
        page.wait_for_text("#about", "API")
        self.engine.kill()
        try:
            page.wait_for_text("#banner", "Nothing new from the engine")
        finally:
            self.engine.start()
        eventually(lambda: page.text("#banner") == "", "the banner has gone")
        name = self.start("sleep", "1000")
        self.row(name)

    def test_light_dark_and_narrow(self):
        page = self.browser
        background = lambda: page.run("return getComputedStyle(document.body).backgroundColor")
        page.run("localStorage.removeItem('theme')")
        page.colours("light")
        light = eventually(background, "a colour")
        page.colours("dark")
        eventually(lambda: background() != light, "the system's wish is followed")
        page.type("d")  # from the system's to light
        eventually(lambda: background() == light, "the switch is stronger")
        page.type("dd")
        self.start("sleep", "1000", flags=("--name", self.name("a-rather-long-name-for-a-narrow-page")))
        page.size(360, 740)
        for view in ("containers", "images", "networks", "volumes", "events"):
            page.click(f'a[data-view="{view}"]')
            page.wait("h1")
            self.assertLessEqual(page.run("return document.documentElement.scrollWidth"), 360, view)

    def test_every_control_has_a_name(self):
        page = self.browser
        name = self.start("sleep", "1000")
        self.row(name)
        ident = self.engine.inspect(name)["Id"]
        for place in ("containers", "images", "networks", "volumes", "events", *(f"containers/{ident}/{tab}" for tab in ("overview", "logs", "stats", "terminal", "inspect"))):
            page.visit(f"http://127.0.0.1:{self.ui.port}/#/{place}")
            page.wait("h1")
            nameless = page.run("""
                return [...document.querySelectorAll('button, a, input, textarea, svg[role=img], [role=tab]')]
                    .filter(node => !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.[0]?.textContent.trim()))
                    .map(node => node.outerHTML.slice(0, 200));""")
            self.assertEqual(nameless, [], place)


if __name__ == "__main__":
    unittest.main()
