"""berth compose config: one form for everything, refusals with file and line, and what docker compose prints of parts."""
import json

from harness.engine import IMAGE
from test_compose import SLEEP, ComposeCase


class Canonical(ComposeCase):
    def shown(self, text, *words, env=None):
        self.write(text)
        return json.loads(self.good(*words, "config", "--format", "json", env=env).out)

    def test_quantities_and_short_forms(self):
        web = self.shown("""
services:
  web:
    image: x
    mem_limit: 65536kb
    mem_swappiness: 60
    cpu_shares: "050"
    healthcheck: {test: echo hi, interval: 90s, retries: "3"}
    devices: [/dev/null, "/dev/zero:/dev/x:r"]
    extra_hosts: {b: 1.2.3.4, a: ["::1", "5.6.7.8"]}
    gpus: all
    secrets: [s, {source: s, target: /here, mode: 0440}]
    deploy: {replicas: 1, resources: {limits: {memory: 64M}, reservations: {devices: [{capabilities: [gpu], count: all}]}}}
    post_start: [{command: sh -c 'echo a b'}]
    volumes: ["./data/:/data/", "v1:/v/"]
    ports: ["8000:80", "3000", "3000-3001"]
secrets: {s: {environment: S}}
volumes: {v1: {driver_opts: {type: none, o: bind, device: ./bound}}}
""")["services"]["web"]
        self.assertEqual((web["mem_limit"], web["mem_swappiness"], web["cpu_shares"]), ("67108864", "60", 50))
        self.assertEqual(web["healthcheck"], {"test": ["CMD-SHELL", "echo hi"], "interval": "1m30s", "retries": 3})
        self.assertEqual(web["devices"][1], {"source": "/dev/zero", "target": "/dev/x", "permissions": "r"})
        self.assertEqual(web["extra_hosts"], ["a=5.6.7.8", "a=::1", "b=1.2.3.4"])
        self.assertEqual(web["gpus"], [{"count": -1}])
        self.assertEqual([s["target"] for s in web["secrets"]], ["/run/secrets/s", "/here"])
        self.assertEqual(web["secrets"][1]["mode"], "0440")
        self.assertEqual(web["deploy"]["resources"]["limits"], {"memory": "67108864"})
        self.assertEqual(web["deploy"]["resources"]["reservations"]["devices"][0]["count"], -1)
        self.assertEqual(web["post_start"][0]["command"], ["sh", "-c", "echo a b"])
        self.assertEqual([v["target"] for v in web["volumes"]], ["/data", "/v"])
        self.assertEqual([p["target"] for p in web["ports"]], [80, 3000, 3001])
        self.assertEqual(web["networks"], {"default": None})

    def test_dependencies_that_follow_are_shown(self):
        services = self.shown("""
services:
  web: {image: x, links: [db], volumes_from: [files], network_mode: "service:net"}
  db: {image: x}
  files: {image: x}
  net: {image: x}
""")["services"]
        depends = services["web"]["depends_on"]
        self.assertEqual(depends["db"], {"condition": "service_started", "required": True, "restart": True})
        self.assertEqual(depends["files"], {"condition": "service_started", "required": True})
        self.assertEqual(sorted(depends), ["db", "files", "net"])

    def test_what_is_printed_can_be_loaded_again(self):
        text = """
services:
  web: {image: x, command: ["echo", "$$HOME", "$(id)"], environment: {A: "a$$b", GONE: }, x-note: kept, build: {context: sub}}
x-top: {a: 1}
"""
        self.write(text)
        first = self.good("config").out
        self.assertIn("x-note: kept", first)
        self.write(first)
        self.assertEqual(self.good("config").out, first)
        again = json.loads(self.good("config", "--format", "json").out)
        self.assertEqual(again["services"]["web"]["command"], ["echo", "$$HOME", "$$(id)"])
        self.assertEqual(again["services"]["web"]["environment"], {"A": "a$$b", "GONE": None})

    def test_unused_resources_are_left_out(self):
        text = "services: {web: {image: x, networks: [used], privileged: false}}\nnetworks: {used: {}, unused: {}}\nvolumes: {unused: {}}\n"
        shown = self.shown(text)
        self.assertEqual((sorted(shown["networks"]), "volumes" in shown), (["used"], False))
        self.assertNotIn("privileged", shown["services"]["web"])
        self.assertEqual(sorted(self.shown(text, "--all-resources")["networks"]), ["unused", "used"])

    def test_merging(self):
        self.write("""
services:
  web:
    build: {context: app, cache_from: [one]}
    depends_on: {db: {condition: service_healthy}}
    devices: ["/dev/a:/dev/x"]
    ports: !reset []
  db: {image: y}
networks: {n: {ipam: {config: [{subnet: 10.1.0.0/24}]}}}
""")
        self.write("""
services:
  web:
    build: {args: {A: "1"}, cache_from: [two]}
    depends_on: {db: {restart: true}}
    devices: ["/dev/b:/dev/x"]
    ports: ["80:80"]
    networks: [n]
networks: {n: {ipam: {config: [{subnet: 10.1.0.0/24, gateway: 10.1.0.9}]}}}
---
services: {web: {labels: {second: document}}}
""", "compose.override.yaml")
        shown = json.loads(self.good("config", "--format", "json").out)
        web = shown["services"]["web"]
        self.assertTrue(web["build"]["context"].endswith("/app"))
        self.assertEqual(web["build"]["cache_from"], ["one", "two"])
        self.assertEqual(web["depends_on"]["db"], {"condition": "service_healthy", "restart": True, "required": True})
        self.assertEqual([d["source"] for d in web["devices"]], ["/dev/b"])
        self.assertEqual([p["target"] for p in web["ports"]], [80])
        self.assertEqual(web["labels"], {"second": "document"})
        self.assertEqual(shown["networks"]["n"]["ipam"]["config"], [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.9"}])

    def test_include_reads_env_files_beside_itself(self):
        self.write("WHO=outer\n", "outer.env")
        self.write("services: {inc: {image: x, environment: {WHO: '${WHO}'}}}\n", "inc/compose.yaml")
        shown = self.shown("include: [{path: inc/compose.yaml, env_file: outer.env}]\n")
        self.assertEqual(shown["services"]["inc"]["environment"], {"WHO": "outer"})


class Parts(ComposeCase):
    TEXT = """
services:
  web: {image: "img:${TAG:-${OTHER:-1}}", environment: {A: "${NEEDED:?say}", B: "${ALT:+alt}"}, ports: ["${PORT:-80}:80"], build: {context: sub}}
  db: {image: db, container_name: one}
"""

    def test_variables(self):
        self.write(self.TEXT)
        told = json.loads(self.good("config", "--variables", "--format", "json").out)
        self.assertEqual(sorted(told), ["ALT", "NEEDED", "OTHER", "PORT", "TAG"])
        self.assertEqual(told["TAG"]["DefaultValue"], "${OTHER:-1}")
        self.assertTrue(told["NEEDED"]["Required"])
        self.assertEqual(told["ALT"]["PresenceValue"], "alt")

    def test_variables_are_left_in(self):
        self.write(self.TEXT)
        shown = json.loads(self.good("config", "--no-interpolate", "--format", "json").out)
        web = shown["services"]["web"]
        self.assertEqual((web["image"], web["ports"]), ("img:${TAG:-${OTHER:-1}}", ["${PORT:-80}:80"]))
        self.assertEqual(web["networks"], {"default": None})

    def test_no_paths_no_defaults_no_checks(self):
        self.write("services: {web: {build: {context: sub}, depends_on: [none]}}\n")
        self.assertNotEqual(self.compose("config").code, 0)
        words = ("config", "--no-consistency", "--format", "json")
        web = json.loads(self.good(*words, "--no-path-resolution").out)["services"]["web"]
        self.assertEqual(web["build"]["context"], "sub")
        self.assertNotIn("networks", json.loads(self.good(*words, "--no-normalize").out)["services"]["web"])

    def test_verbs_that_are_not_there_say_why(self):
        for words, why in ((("bridge", "convert"), "Kubernetes"), (("alpha", "viz"), "trials")):
            done = self.compose(*words)
            self.assertNotEqual(done.code, 0)
            self.assertIn(why, done.err)


class Refusals(ComposeCase):
    def test_shapes(self):
        for text, complaint in (
            ("services: {a: {image: 1}}", "compose.yaml:1:23: services.a.image must be a string"),
            ("services: {a: {image: x, command: true}}", "services.a.command must be a string or a list"),
            ("services: {a: {image: x, deploy: {resources: {impossible: 1}}}}", "services.a.deploy.resources additional properties 'impossible' not allowed"),
            ("services: {a: {image: x, security_opt: [A, A]}}", "services.a.security_opt has the same item twice"),
            ("services: {a: {image: x, cgroup: x}}", "services.a.cgroup must be one of host, private"),
            ("services: {1: {image: x}}", "a key must be a string"),
            ("services: {a: {image: x, pre_start: []}}", "additional properties 'pre_start' not allowed"),
            ("services: {a: {image: x, depends_on: {b: {required: false}}}}", "services.a.depends_on.b condition is required"),
            ("services: {a: {image: x, volumes: [{type: bind, target: /x}]}}", "a bind needs a source"),
            ("services: {a: {image: x, volumes: [{type: tmpfs, target: /x, tmpfs: {size: -1}}]}}", "must not be negative"),
            ("services: {a: {image: x, tmpfs: [/x], volumes: ['v1:/x']}}\nvolumes: {v1: }", "mounts two things at /x"),
            ("services: {a: {image: x, mem_limit: 1m, deploy: {resources: {limits: {memory: 2m}}}}}", "can't set distinct values on 'mem_limit'"),
            ("services: {a: {image: x, container_name: n}, b: {image: x, container_name: n}}", 'container name "n" is already in use'),
            ("services: {a: {platform: linux/arm64, build: {context: ., platforms: [linux/amd64]}}}", "must include the service's platform"),
            ("services: {a: {image: x, models: [m]}}", "refers to undefined model m"),
            ("services: {a: {image: x, secrets: [s]}}\nsecrets: {s: {}}", "secrets.s needs one of file, environment"),
            ("services: {a: {image: x}}\nvolumes: {v: {external: true, driver: d}}", 'conflicting parameters "external" and "driver"'),
            ("services: {a: {image: x, gpus: [{count: 1, device_ids: [x]}]}}", '"count" and "device_ids" attributes are exclusive'),
            ("", "empty compose file"),
            ("[]", "top-level object must be a mapping"),
        ):
            self.write(text + "\n")
            failed = self.compose("config")
            self.assertEqual(failed.code, 1, text)
            self.assertIn(complaint, failed.err)

    def test_what_no_container_can_have(self):
        for key, value, complaint in (("models", "[m]", "berth runs no models"), ("use_api_socket", "true", "mount the engine's socket"),
                                      ("credential_spec", "{file: x}", "Windows")):
            self.write(f"services: {{a: {{image: {IMAGE}, {key}: {value}}}}}\nmodels: {{m: {{model: x}}}}\n")
            self.good("config", "-q")
            failed = self.compose("up", "-d")
            self.assertEqual(failed.code, 1)
            self.assertRegex(failed.err, rf"compose.yaml:1:\d+: services.a.{key}.* is not supported: .*{complaint}")

    def test_variables_may_be_what_is_wanted(self):
        self.write('services: {a: {image: x, depends_on: {b: {condition: service_started, required: "${R}"}}, networks: {n: {priority: "${P}"}}}, b: {image: x}}\nnetworks: {n: }\n')
        shown = json.loads(self.good("config", "--format", "json", env={"R": "false", "P": "3"}).out)["services"]["a"]
        self.assertEqual((shown["depends_on"]["b"]["required"], shown["networks"]["n"]["priority"]), (False, 3))
        self.assertIn("must be a number", self.compose("config", env={"R": "false", "P": "x"}).err)


class Hooks(ComposeCase):
    def test_after_the_start_and_before_the_end(self):
        self.write(f"""
services:
  web:
    image: "{IMAGE}"
    {SLEEP}
    stop_grace_period: 0s
    volumes: ["seen:/seen"]
    post_start: [{{command: sh -c 'echo begun $$WHO | tee -a /seen/log', environment: {{WHO: me}}}}]
    pre_stop: [{{command: [sh, -c, "echo ending >> /seen/log"]}}]
  look: {{image: "{IMAGE}", command: [cat, /seen/log], volumes: ["seen:/seen"], profiles: [look]}}
volumes: {{seen: {{}}}}
""")
        self.assertIn("web-1 -> | begun me", self.good("up", "-d").err)
        self.good("stop")
        self.assertEqual(self.good("run", "--rm", "-T", "look").out.split("\n")[:2], ["begun me", "ending"])

    def test_a_failed_hook_is_the_services_failure(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s, post_start: [{{command: sh -c 'exit 3'}}]}}}}\n")
        failed = self.compose("up", "-d")
        self.assertNotEqual(failed.code, 0)
        self.assertIn("web hook exited with status 3", failed.err)


class Verbs(ComposeCase):
    def test_a_variable_without_a_value_takes_the_images_away(self):
        self.write(f"FROM {IMAGE}\nENV KEPT=1 GONE=1\n", "Dockerfile")
        self.write(f"services: {{web: {{build: ., {SLEEP}, stop_grace_period: 0s, environment: [GONE]}}}}\n")
        self.good("up", "-d")
        lines = self.good("exec", "-T", "web", "env").lines
        self.assertIn("KEPT=1", lines)
        self.assertNotIn("GONE=1", lines)
        self.good("down", "--rmi", "local")

    def test_commit_restart_of_dependents_and_wait_timeout(self):
        self.write(f"""
services:
  db: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, healthcheck: {{test: ["CMD", "false"], interval: 1h, start_period: 1h}}}}
  web: {{image: "{IMAGE}", {SLEEP}, stop_grace_period: 0s, depends_on: {{db: {{condition: service_started, restart: true}}}}}}
""")
        late = self.compose("up", "-d", "--wait", "--wait-timeout", "1")
        self.assertNotEqual(late.code, 0)
        self.assertIn("--wait-timeout", late.err)
        started = lambda: self.inspect(f"{self.app}-web-1")["State"]["StartedAt"]
        first = started()
        self.good("restart", "--no-deps", "-t", "0", "db")
        self.assertEqual(started(), first)
        self.good("restart", "-t", "0", "db")
        self.assertNotEqual(started(), first)
        self.good("commit", "-m", "kept", "web", f"{self.app}:committed")
        self.assertIn("committed", self.ok("images").out)
        self.ok("rmi", f"{self.app}:committed")
        self.write("A=from file\n", "run.env")
        self.assertEqual(self.good("run", "--rm", "-T", "--no-deps", "--env-from-file", "run.env", "web", "sh", "-c", "echo $A").text, "from file")

    def test_a_project_goes_by_its_name_when_its_file_cannot_be_read(self):
        self.write(f"services: {{web: {{image: '{IMAGE}', {SLEEP}, stop_grace_period: 0s, extra_hosts: ['one=192.0.2.1']}}}}\n")
        self.good("up", "-d")
        self.assertEqual(self.inspect(f"{self.app}-web-1")["HostConfig"]["ExtraHosts"], ["one:192.0.2.1"])
        self.write("services: [\n")
        self.assertNotEqual(self.compose("config").code, 0)
        self.good("down", "-t", "0")
        self.assertNotIn(self.app, self.ok("ps", "-a").out)
