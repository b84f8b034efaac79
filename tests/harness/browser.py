"""A headless Chromium, driven by the WebDriver protocol (W3C): JSON over HTTP to chromedriver."""
import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile

from .engine import Lines, eventually

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004", "Down": "\ue015", "Up": "\ue013", "F6": "\ue036", "Control": "\ue009"}
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
         "--hide-scrollbars", "--force-color-profile=srgb"]


def missing():
    """Why there is no browser here, or None."""
    absent = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    return f"no {' and no '.join(absent)}: \"scripts/install-packages test\" installs them" if absent else None


class WebDriverError(Exception):
    def __init__(self, kind, message):
        super().__init__(f"{kind}: {message.splitlines()[0] if message else ''}")
        self.kind = kind


class Browser:
    """One window. close() ends it and everything it started."""

    def __init__(self, width=1280, height=800):
        self.folder = tempfile.mkdtemp(prefix="browser.", dir="/tmp")
        environment = {**os.environ, "HOME": self.folder, "XDG_CONFIG_HOME": self.folder, "XDG_CACHE_HOME": self.folder,
                       "TMPDIR": self.folder}
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, env=environment, start_new_session=True)
        self.session = None
        try:
            line = Lines(self.driver.stdout).until("successfully on port", within=60)
            self.port = int(line.rstrip(".").rsplit(" ", 1)[1])
            options = {"binary": shutil.which("chromium"),
                       "args": [*FLAGS, f"--user-data-dir={self.folder}/profile", f"--window-size={width},{height}"]}
            answer = self.command("POST", "/session", {"capabilities": {"alwaysMatch": {
                "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}}, within=120)
            self.session = answer["sessionId"]
            self.size(width, height)
        except BaseException:
            self.close()
            raise

    def close(self):
        try:
            if self.session:
                self.command("DELETE", f"/session/{self.session}")
        except (OSError, WebDriverError):
            pass
        try:  # chromedriver leads a group of its own, in which its browser runs
            os.killpg(self.driver.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.driver.wait()
        self.driver.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, method, path, body=None, within=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=within)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise WebDriverError(value["error"], value.get("message", ""))
        return value

    def ask(self, method, path, body=None):
        return self.command(method, f"/session/{self.session}{path}", body)

    def devtools(self, method, **parameters):
        """A command of Chromium's own protocol."""
        return self.ask("POST", "/goog/cdp/execute", {"cmd": method, "params": parameters})

    # --- the window -------------------------------------------------------------------------------------------

    def visit(self, address):
        self.ask("POST", "/url", {"url": address})

    def size(self, width, height):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def colours(self, scheme):
        """What the system prefers: light or dark."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.ask("GET", "/screenshot")))

    def console(self):
        """Messages since the last call: errors of scripts, refusals of the content security policy."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"}) if entry["level"] in ("SEVERE", "WARNING")]

    # --- the document -----------------------------------------------------------------------------------------

    def run(self, script, *arguments):
        """Runs a function's body with these arguments; promises are waited for."""
        body = f"const done = arguments[arguments.length - 1]; const args = [...arguments].slice(0, -1);" \
               f"(async () => (async function() {{ {script} }}).apply(null, args))().then(v => done({{v}}), e => done({{e: String(e)}}))"
        answer = self.ask("POST", "/execute/async", {"script": body, "args": list(arguments)})
        if "e" in answer:
            raise AssertionError(f"the script failed: {answer['e']}")
        return answer.get("v")

    def find(self, selector):
        """An element, or None."""
        try:
            return self.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]
        except WebDriverError as error:
            if error.kind == "no such element":
                return None
            raise

    def complaint(self, what):
        return lambda: f"{what}; the page shows {self.text('body')[:1500]!r}"

    def wait(self, selector, within=30):
        return eventually(lambda: self.find(selector), self.complaint(f"{selector} is in the page"), within)

    def text(self, selector):
        """The rendered text of the first such element; empty without one."""
        return self.run("const node = document.querySelector(arguments[0]); return node ? node.innerText : '';", selector)

    def wait_for_text(self, selector, wanted, within=30):
        return eventually(lambda: wanted in self.text(selector), self.complaint(f"{wanted!r} in {selector}"), within)

    def click(self, selector, within=30):
        """Clicks as soon as nothing is in the way."""
        def attempt():
            element = self.find(selector)
            try:
                if element:
                    self.ask("POST", f"/element/{element}/click", {})
                    return True
            except WebDriverError as error:
                if error.kind not in ("stale element reference", "element click intercepted", "element not interactable"):
                    raise
            return False
        eventually(attempt, self.complaint(f"{selector} can be clicked"), within)

    def type(self, text, *special):
        """Types into whatever has the focus; `special` are names of KEYS that follow."""
        keys = [*text, *(KEYS[name] for name in special)]
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def focused(self):
        return self.run("return document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim();")
