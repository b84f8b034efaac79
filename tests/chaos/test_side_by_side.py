"""Two engines on one machine: neither sees nor disturbs the other."""
from harness import archives
from harness.engine import IMAGE, Engine, EngineCase, eventually, fetch


class SideBySide(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_berth("dockerd shares one bridge and one set of rules")
        self.other = Engine("other").start()
        self.addCleanup(self.other.close)
        self.other.load_base_image()

    def test_the_same_names_in_both(self):
        name = self.start("sleep", "600")
        self.other.ok("run", "-d", "--name", name, IMAGE, "sleep", "600")
        self.assertNotEqual(self.engine.inspect(name)["Id"], self.other.inspect(name)["Id"])
        self.other.ok("rm", "-f", name)
        self.assertTrue(self.engine.inspect(name)["State"]["Running"])

    def test_images_are_apart(self):
        self.other.load(archives.docker_archive("only-there:1", [archives.tar([archives.entry("x")])]))
        self.assertNotEqual(self.engine("inspect", "--type", "image", "only-there:1").code, 0)

    def test_networks_of_both_work(self):
        serve = ("sh", "-c", "mkdir /w && echo here > /w/index.html && exec httpd -f -h /w")
        name = self.start(*serve, flags=("-p", "127.0.0.1::80"))
        self.other.ok("run", "-d", "--name", "there", "-p", "127.0.0.1::80", IMAGE, *serve)

        def answers(engine, container):
            port = int(engine.ok("port", container, "80").text.rsplit(":", 1)[1])
            eventually(lambda: fetch("127.0.0.1", port) == "here", f"{container} answers on {port}")

        answers(self.engine, name)
        answers(self.other, "there")
        self.other.close()
        answers(self.engine, name)

    def test_a_crash_of_one_leaves_the_other_alone(self):
        name = self.start("sleep", "600")
        self.other.ok("run", "-d", "--name", "there", IMAGE, "sleep", "600")
        self.other.kill()
        self.assertEqual(self.ok("exec", name, "echo", "fine").text, "fine")
        self.ok("run", "--rm", IMAGE, "true")
        self.other.start()
        self.assertTrue(self.other.inspect("there")["State"]["Running"])
