"""`build`: instructions, expansion, stages, cache, contexts, errors. Each test builds a small Dockerfile and
looks at the image or at what a container of it sees."""
import hashlib
import http.server
import io
import json
import os
import signal
import tarfile
import threading

from harness.archives import busybox_entries, directory, docker_archive, entry, symlink, tar
from harness.engine import IMAGE, EngineCase, Lines, eventually, run


class BuildCase(EngineCase):
    def setUp(self):
        super().setUp()
        self.context = self.folder()
        self.tag = f"built-{self._testMethodName[5:50].replace('_', '-')}:1"
        self.addCleanup(self.engine, "rmi", "-f", self.tag)

    def file(self, name, data="content\n", mode=0o644):
        path = os.path.join(self.context, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(path, mode)
        return path

    def try_build(self, dockerfile, *flags, **more):
        self.file("Dockerfile", dockerfile)
        return self.engine("build", "-t", self.tag, *flags, self.context, **more)

    def build(self, dockerfile, *flags, **more):
        result = self.try_build(dockerfile, *flags, **more)
        self.assertEqual(result.code, 0, f"{result}\n{'' if self.against_docker else self.engine.log()[-1500:]}")
        return result

    def sh(self, script, *flags, tag=None):
        return self.ok("run", "--rm", *flags, "--entrypoint", "", tag or self.tag, "sh", "-c", script).out

    def config(self):
        return self.engine.inspect(self.tag)["Config"]

    def build_fails(self, dockerfile, *says, flags=()):
        result = self.try_build(dockerfile, *flags)
        self.assertNotEqual(result.code, 0, str(result))
        for text in says:
            self.assertIn(text.lower(), (result.err + result.out).lower(), str(result))
        self.assertEqual(self.engine("inspect", "--type", "image", self.tag).code, 1, "no image is left")
        return result


class Instructions(BuildCase):
    def test_run_forms(self):
        self.build(f'FROM {IMAGE}\nRUN echo shell > /a && echo $0 >> /a\nRUN ["sh", "-c", "echo exec > /b"]\n')
        self.assertEqual(self.sh("cat /a /b"), "shell\n/bin/sh\nexec\n")

    def test_copy_and_add(self):
        self.file("one", "1")
        self.file("two", "2", 0o755)
        self.file("dir/sub/three", "3")
        self.build(f"FROM {IMAGE}\nCOPY one /x/\nCOPY one two /many/\nCOPY dir /dir\nADD dir/ /added/\nCOPY t* /glob/\n"
                   "WORKDIR /rel\nCOPY one here\nCOPY one ./there/\n")
        self.assertEqual(self.sh("cat /x/one /many/one /many/two /dir/sub/three /added/sub/three /glob/two /rel/here "
                                 "/rel/there/one; stat -c %a /many/two"), "11233211755\n")

    def test_copy_keeps_links_and_modes_and_owns_as_root(self):
        self.file("dir/f", "f", 0o640)
        os.symlink("f", os.path.join(self.context, "dir", "link"))
        os.chown(os.path.join(self.context, "dir", "f"), 1234, 1234)
        self.build(f"FROM {IMAGE}\nCOPY dir /d\n")
        self.assertEqual(self.sh("readlink /d/link; stat -c '%a %u:%g' /d/f"), "f\n640 0:0\n")

    def test_copy_chown(self):
        self.file("f")
        self.build(f"FROM {IMAGE}\nCOPY --chown=app:staff f /a\nCOPY --chown=7:8 f /b\nCOPY --chown=1000 f /c\n")
        self.assertEqual(self.sh("stat -c %u:%g /a /b /c"), "1000:50\n7:8\n1000:1000\n")

    def test_copy_chmod(self):
        self.only_berth("the classic builder has no --chmod")
        self.file("f")
        self.build(f"FROM {IMAGE}\nCOPY --chmod=751 f /a\n")
        self.assertEqual(self.sh("stat -c %a /a"), "751\n")

    def test_add_unpacks_local_archives(self):
        packed = tar([directory("in"), entry("in/f", data=b"unpacked")])
        self.file("plain.tar", packed)
        for suffix, tool in (("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz")):
            self.file(f"a.tar.{suffix}", run([tool, "-c"], input=packed, text=False).out)
        self.build(f"FROM {IMAGE}\nADD plain.tar /p/\nADD a.tar.gz /g/\nADD a.tar.bz2 /b/\nADD a.tar.xz /x/\n"
                   "COPY plain.tar /as-it-is\n")
        self.assertEqual(self.sh("cat /p/in/f /g/in/f /b/in/f /x/in/f; test -f /as-it-is"), "unpacked" * 4)

    def test_add_from_a_url_with_checksum(self):
        self.file("served", "over http")

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(handler, *arguments):
                super().__init__(*arguments, directory=self.context)

            def log_message(handler, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_address[1]}"
        self.build(f"FROM {IMAGE}\nADD {url}/served /named\nADD {url}/served /folder/\n")
        self.assertEqual(self.sh("cat /named /folder/served; stat -c %a /named"), "over httpover http600\n")
        result = self.try_build(f"FROM {IMAGE}\nADD {url}/no-such /x\n")
        self.assertNotEqual(result.code, 0)
        self.assertIn("404", result.err + result.out)
        if self.against_docker:
            return
        digest = hashlib.sha256(b"over http").hexdigest()
        self.build(f"FROM {IMAGE}\nADD --checksum=sha256:{digest} {url}/served /sum\n")
        result = self.try_build(f"FROM {IMAGE}\nADD --checksum=sha256:{'0' * 64} {url}/served /sum\n")
        self.assertNotEqual(result.code, 0)
        self.assertIn("digest", (result.err + result.out).lower())

    def test_configuration(self):
        self.build(f"""FROM {IMAGE}
ENV A=1 B="two words" C=three\\ words
ENV LEGACY some value
LABEL one=1 "two.words"="2 3"
EXPOSE 80 53/udp 7000-7002
VOLUME /data ["/more"]
VOLUME ["/json one"]
USER app
WORKDIR /home
WORKDIR app
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=5s --timeout=3s --start-period=1s --retries=4 CMD test -e /ok
ENTRYPOINT ["/bin/echo", "entry"]
CMD ["default"]
""".replace("VOLUME /data [\"/more\"]", "VOLUME /data /more"))
        config = self.config()
        self.assertEqual(config["Env"][1:], ["A=1", "B=two words", "C=three words", "LEGACY=some value"])
        self.assertEqual({key: config["Labels"][key] for key in ("one", "two.words")}, {"one": "1", "two.words": "2 3"})
        self.assertEqual(set(config["ExposedPorts"]), {"80/tcp", "53/udp", "7000/tcp", "7001/tcp", "7002/tcp"})
        self.assertEqual(set(config["Volumes"]), {"/data", "/more", "/json one"})
        self.assertEqual((config["User"], config["WorkingDir"], config["StopSignal"]), ("app", "/home/app", "SIGUSR1"))
        self.assertEqual(config["Healthcheck"], {"Test": ["CMD-SHELL", "test -e /ok"], "Interval": 5_000_000_000,
                                                 "Timeout": 3_000_000_000, "StartPeriod": 1_000_000_000, "Retries": 4})
        self.assertEqual(self.ok("run", "--rm", self.tag).text, "entry default")
        self.assertEqual(self.ok("run", "--rm", self.tag, "given").text, "entry given")

    def test_shell_forms_of_cmd_and_entrypoint(self):
        self.build(f"FROM {IMAGE}\nCMD echo $HOME\n")
        self.assertEqual(self.config()["Cmd"], ["/bin/sh", "-c", "echo $HOME"])
        self.build(f"FROM {IMAGE}\nENTRYPOINT echo entry\nCMD [\"ignored\"]\n")
        self.assertEqual(self.ok("run", "--rm", self.tag).text, "entry")

    def test_an_entrypoint_resets_the_bases_command(self):
        self.build(f"FROM {IMAGE}\nENTRYPOINT [\"/bin/echo\"]\n")
        self.assertFalse(self.config().get("Cmd"))

    def test_shell(self):
        self.build(f'FROM {IMAGE}\nSHELL ["/bin/sh", "-e", "-c"]\nRUN echo $- > /flags\n')
        self.assertIn("e", self.sh("cat /flags"))

    def test_user_and_workdir_apply_to_run(self):
        self.build(f"FROM {IMAGE}\nWORKDIR /made/here\nRUN chown app .\nUSER app\nRUN id -un > who; pwd >> who\n")
        self.assertEqual(self.sh("cat /made/here/who"), "app\n/made/here\n")

    def test_onbuild(self):
        base = "onbuild-base:1"
        self.addCleanup(self.engine, "rmi", "-f", base)
        self.file("f", "from the child's context")
        self.file("Dockerfile", f"FROM {IMAGE}\nONBUILD COPY f /f\nONBUILD RUN echo ran > /ran\n")
        self.ok("build", "-t", base, self.context)
        self.assertEqual(self.engine.inspect(base)["Config"]["OnBuild"], ["COPY f /f", "RUN echo ran > /ran"])
        self.assertNotEqual(self.engine("run", "--rm", base, "test", "-e", "/ran").code, 0)
        self.build(f"FROM {base}\n")
        self.assertEqual(self.sh("cat /f /ran"), "from the child's contextran\n")
        self.assertFalse(self.config().get("OnBuild"))

    def test_healthcheck_none_and_maintainer(self):
        self.build(f"FROM {IMAGE}\nMAINTAINER someone\nHEALTHCHECK NONE\n")
        self.assertEqual(self.config()["Healthcheck"]["Test"], ["NONE"])
        self.assertEqual(self.engine.inspect(self.tag)["Author"], "someone")

    def test_from_scratch(self):
        self.file("root/bin/busybox", open("/bin/busybox", "rb").read(), 0o755)
        self.build("FROM scratch\nCOPY root /\nCMD [\"/bin/busybox\", \"echo\", \"from nothing\"]\n")
        self.assertEqual(self.ok("run", "--rm", self.tag).text, "from nothing")

    def test_heredocs(self):
        self.only_berth("the classic builder has no heredocs")
        self.build(f"""FROM {IMAGE}
ARG WHO=me
RUN <<EOT
echo first > /r
echo "$WHO" >> /r
EOT
RUN <<-"EOT"
	echo 'tabs are stripped' >> /r
	EOT
RUN <<EOT sh
echo through-sh >> /r
EOT
RUN <<EOT
#!/bin/cat
shebang honoured
EOT
COPY <<EOT /made
hello $WHO
EOT
COPY <<"EOT" /literal
hello $WHO
EOT
COPY <<a <<b /both/
A
a
B
b
""")
        self.assertEqual(self.sh("cat /r /made /literal /both/a /both/b"),
                         "first\nme\ntabs are stripped\nthrough-sh\nhello me\nhello $WHO\nA\nB\n")

    def test_run_has_a_network(self):
        self.build(f"FROM {IMAGE}\nRUN ip addr show eth0 && cat /etc/resolv.conf | grep nameserver\n")

    def test_run_finds_containers_of_its_network_by_name(self):
        self.ok("network", "create", "build-names")
        self.addCleanup(self.engine, "network", "rm", "build-names")
        self.start("sleep", "60", flags=("--network", "build-names", "--network-alias", "target.of.ping"))
        self.build(f"FROM {IMAGE}\nRUN ping -c 1 -W 5 target.of.ping\n", "--network", "build-names")

    def test_what_the_engine_puts_into_run_is_not_committed(self):
        self.build(f"FROM {IMAGE}\nRUN cat /etc/hosts /etc/resolv.conf && touch /made\n")
        listing = self.ok("save", self.tag, text=False).out
        with tarfile.open(fileobj=io.BytesIO(listing)) as outer:
            manifest = json.load(outer.extractfile("manifest.json"))[0]
            with tarfile.open(fileobj=outer.extractfile(manifest["Layers"][-1])) as layer:
                names = {name.strip("./") for name in layer.getnames()}
        self.assertIn("made", names)
        self.assertFalse({name for name in names if name.startswith(("proc/", "sys/", "dev/"))}, names)

    def test_run_does_not_see_the_hosts_environment(self):
        self.build(f"FROM {IMAGE}\nRUN env > /env\n", env={"HOST_SECRET": "leaked"})
        self.assertNotIn("leaked", self.sh("cat /env"))

    def test_run_is_confined(self):
        self.build(f"FROM {IMAGE}\nRUN cat /proc/self/status > /status\n")
        status = self.sh("cat /status")
        self.assertIn("CapEff:\t00000000a80425fb", status)
        self.assertIn("CapInh:\t0000000000000000", status)
        self.assertIn("Seccomp:\t2", status)

    def test_deleted_and_replaced_files(self):
        self.build(f"FROM {IMAGE}\nRUN echo 1 > /a; mkdir /d; touch /d/x\nRUN rm /a; rm -r /d; mkdir /d; touch /d/y\n")
        self.assertEqual(self.sh("ls /a 2>/dev/null; ls /d"), "y\n")

    def test_metadata_from_run_survives(self):
        self.build(f"FROM {IMAGE}\nRUN touch /f && chown 5:6 /f && chmod 4755 /f && ln /f /g && mkfifo /p\n")
        self.assertEqual(self.sh("stat -c '%a %u:%g %h' /f; stat -c %F /p"), "4755 5:6 2\nfifo\n")


class Stages(BuildCase):
    def test_copy_from_stages_and_images(self):
        other = "other-image:1"
        self.addCleanup(self.engine, "rmi", "-f", other)
        self.file("Dockerfile", f"FROM {IMAGE}\nRUN echo other > /o\n")
        self.ok("build", "-t", other, self.context)
        self.build(f"FROM {IMAGE} AS first\nRUN echo 1 > /f\nFROM {IMAGE}\nRUN echo 2 > /f\n"
                   f"FROM {IMAGE} as Last\nCOPY --from=first /f /one\nCOPY --from=1 /f /two\nCOPY --from={other} /o /three\n")
        self.assertEqual(self.sh("cat /one /two /three"), "1\n2\nother\n")

    def test_target(self):
        text = f"FROM {IMAGE} AS one\nRUN echo one > /which\nFROM one AS two\nRUN echo two > /which\nFROM {IMAGE}\nRUN false\n"
        self.build(text, "--target", "two")
        self.assertEqual(self.sh("cat /which"), "two\n")
        self.build(text, "--target", "ONE")
        self.assertEqual(self.sh("cat /which"), "one\n")
        result = self.try_build(text, "--target", "three")
        self.assertNotEqual(result.code, 0)
        self.assertIn("three", result.err + result.out)

    def test_a_stage_upon_a_stage(self):
        self.build(f"FROM {IMAGE} AS base\nENV X=1\nRUN touch /a\nFROM base\nRUN test -e /a && echo $X > /x\n")
        self.assertEqual(self.sh("cat /x"), "1\n")

    def test_stages_that_nothing_needs_are_not_built(self):
        self.only_berth("the classic builder builds all stages up to the target")
        self.only_our_command("the same")
        self.build(f"FROM {IMAGE} AS unused\nRUN false\nFROM {IMAGE}\nRUN echo fine > /f\n")

    def test_global_arguments(self):
        self.build(f"ARG BASE=no-such\nARG TAG\nFROM $BASE AS x\nARG BASE\nRUN echo $BASE > /b\n", "--build-arg", f"BASE={IMAGE}")
        self.assertEqual(self.sh("cat /b"), f"{IMAGE}\n")


class Expansion(BuildCase):
    def test_modifiers(self):
        self.build(f"""FROM {IMAGE}
ARG SET=value
ENV EMPTY=
ENV A=${{SET:-no}} B=${{UNSET:-default}} C=${{SET:+alt}} D=${{UNSET:+alt}} E=${{EMPTY:-d}} F=\\$SET G='$SET' H="$SET"
""")
        env = dict(line.split("=", 1) for line in self.config()["Env"])
        self.assertEqual({key: env[key] for key in "ABCDEFGH"},
                         {"A": "value", "B": "default", "C": "alt", "D": "", "E": "d", "F": "$SET", "G": "$SET", "H": "value"})

    def test_newer_modifiers(self):
        self.only_berth("the classic builder knows :- and :+ alone")
        self.build(f"""FROM {IMAGE}
ARG P=path/to/file.tar.gz
ARG EMPTY=
ENV A=${{P#*/}} B=${{P##*/}} C=${{P%.*}} D=${{P%%.*}} E=${{P/to/from}} F=${{P//t/T}} G=${{EMPTY-unset}} H=${{NONE-unset}}
""")
        env = dict(line.split("=", 1) for line in self.config()["Env"])
        self.assertEqual({key: env[key] for key in "ABCDEFGH"},
                         {"A": "to/file.tar.gz", "B": "file.tar.gz", "C": "path/to/file.tar", "D": "path/to/file",
                          "E": "path/from/file.tar.gz", "F": "paTh/To/file.Tar.gz", "G": "", "H": "unset"})
        self.build_fails_with_message("FROM {}\nENV X=\"${{NEEDED:?must be given}}\"\n".format(IMAGE), "must be given")

    def build_fails_with_message(self, text, says):
        result = self.try_build(text)
        self.assertNotEqual(result.code, 0)
        self.assertIn(says, result.err + result.out)

    def test_one_instruction_sees_one_state(self):
        self.build(f"FROM {IMAGE}\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n")
        env = dict(line.split("=", 1) for line in self.config()["Env"])
        self.assertEqual((env["abc"], env["def"], env["ghi"]), ("bye", "hello", "bye"))

    def test_build_arguments(self):
        text = f"FROM {IMAGE}\nARG A=default\nARG B\nENV FROM_A=$A\nRUN echo $A-$B > /args\n"
        self.build(text, "--build-arg", "A=given", "--build-arg", "B", env={"B": "from caller"})
        self.assertEqual(self.sh("cat /args; echo $FROM_A"), "given-from caller\ngiven\n")
        self.build(text)
        self.assertEqual(self.sh("cat /args"), "default-\n")

    def test_env_wins_over_arg(self):
        self.build(f"FROM {IMAGE}\nARG X=arg\nENV X=env\nRUN echo $X > /x\n", "--build-arg", "X=given")
        self.assertEqual(self.sh("cat /x"), "env\n")

    def test_an_argument_ends_with_its_stage(self):
        self.build(f"FROM {IMAGE} AS a\nARG X=1\nFROM {IMAGE}\nRUN echo \"[$X]\" > /x\n")
        self.assertEqual(self.sh("cat /x"), "[]\n")

    def test_escape_directive_and_continuations(self):
        self.build(f"# escape=`\nFROM {IMAGE}\nRUN echo one `\n  two `\n# a comment within\n  three > /x\n")
        self.assertEqual(self.sh("cat /x"), "one two three\n")
        self.build(f"FROM {IMAGE}\nRUN echo one \\\n\n  # comment\n  two > /x\nRUN echo 'a b'   c \\\n && echo d >> /x\n")
        self.assertEqual(self.sh("cat /x"), "one two\nd\n")

    def test_case_and_odd_spacing(self):
        self.build(f"  from {IMAGE}\n\trun   echo x  >  /x\n\n#comment\nCmd   [ \"cat\" ,  \"/x\" ]\n")
        self.assertEqual(self.ok("run", "--rm", self.tag).text, "x")

    def test_crlf_and_byte_order_mark(self):
        self.file("Dockerfile", f"\ufeffFROM {IMAGE}\r\nRUN echo crlf > /x\r\n".encode())
        self.ok("build", "-t", self.tag, self.context)
        self.assertEqual(self.sh("cat /x"), "crlf\n")


class Cache(BuildCase):
    def steps_run(self, text, *flags):
        """The random tokens that the RUN steps of the image made: equal tokens mean that the cache was used."""
        self.build(text, *flags)
        return self.sh("cat /token* 2>/dev/null").split()

    TOKEN = "head -c 8 /dev/urandom | hexdump -v -e '\"%x\"' > /token{}; echo >> /token{}"

    def run_token(self, number):
        return "RUN " + self.TOKEN.format(number, number)

    def test_the_second_build_runs_nothing(self):
        self.file("f")
        text = f"FROM {IMAGE}\nCOPY f /f\n{self.run_token(1)}\n"
        self.assertEqual(self.steps_run(text), self.steps_run(text))

    def test_no_cache(self):
        text = f"FROM {IMAGE}\n{self.run_token(1)}\n"
        self.assertNotEqual(self.steps_run(text), self.steps_run(text, "--no-cache"))

    def test_content_counts_and_time_does_not(self):
        path = self.file("f", "same")
        text = f"FROM {IMAGE}\nCOPY f /f\n{self.run_token(1)}\n"
        first = self.steps_run(text)
        os.utime(path, (1_000_000_000, 1_000_000_000))
        self.assertEqual(self.steps_run(text), first)
        self.file("f", "other")
        changed = self.steps_run(text)
        self.assertNotEqual(changed, first)
        self.assertEqual(self.sh("cat /f"), "other")
        self.file("f", "same")
        self.assertEqual(self.steps_run(text), first)

    def test_a_mode_counts(self):
        self.file("f", "same", 0o644)
        text = f"FROM {IMAGE}\nCOPY f /f\n"
        self.build(text)
        self.file("f", "same", 0o755)
        self.build(text)
        self.assertEqual(self.sh("stat -c %a /f"), "755\n")

    def test_what_comes_before_a_change_is_kept(self):
        self.file("f", "1")
        text = f"FROM {IMAGE}\n{self.run_token(1)}\nCOPY f /f\n{self.run_token(2)}\n"
        first = self.steps_run(text)
        self.file("f", "2")
        second = self.steps_run(text)
        self.assertEqual(first[0], second[0])
        self.assertNotEqual(first[1], second[1])

    def test_arguments_count_where_they_are_declared(self):
        text = f"FROM {IMAGE}\n{self.run_token(1)}\nARG X=1\n{self.run_token(2)}\n"
        first = self.steps_run(text)
        second = self.steps_run(text, "--build-arg", "X=2")
        self.assertEqual(first[0], second[0])
        self.assertNotEqual(first[1], second[1])

    def test_files_outside_the_selection_do_not_count(self):
        self.file("used", "1")
        self.file("unused", "1")
        text = f"FROM {IMAGE}\nCOPY used /used\n{self.run_token(1)}\n"
        first = self.steps_run(text)
        self.file("unused", "2")
        self.assertEqual(self.steps_run(text), first)

    def test_an_image_with_a_matching_history_is_no_cache(self):
        """CVE-2024-24557: an image loaded from outside must not pose as a cached step."""
        base = tar(busybox_entries())
        poisoned = tar([entry("token1", data=b"poisoned\n")])
        config = {"architecture": "amd64", "os": "linux", "config": self.engine.inspect(IMAGE)["Config"],
                  "rootfs": {"type": "layers", "diff_ids": []},
                  "history": [{"created_by": "layer 0"}, {"created_by": f"/bin/sh -c {self.TOKEN.format(1, 1)}"}]}
        config["rootfs"]["diff_ids"] = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in (base, poisoned)]
        self.engine.load(docker_archive("poison:1", [base, poisoned], config=json.dumps(config).encode()))
        self.addCleanup(self.engine, "rmi", "-f", "poison:1")
        self.assertNotIn("poisoned", self.steps_run(f"FROM {IMAGE}\n{self.run_token(1)}\n"))


class Contexts(BuildCase):
    def test_dockerignore(self):
        for name in ("keep", "drop.log", "dir/keep", "dir/drop.log", "dir/deep/drop.tmp", "secret/a", "secret/but-this", "#hash"):
            self.file(name, name)
        self.file(".dockerignore", "# comment\n*.log\n**/*.tmp\ndir/*.log\nsecret\n!secret/but-this\n\\#hash\n")
        self.build(f"FROM {IMAGE}\nCOPY . /c\n")
        self.assertEqual(self.sh("cd /c && find . -type f | sort").split(),
                         sorted(["./.dockerignore", "./Dockerfile", "./dir/keep", "./keep", "./secret/but-this"]))

    def test_an_ignored_file_cannot_be_copied(self):
        self.file("hidden")
        self.file(".dockerignore", "hidden\n")
        self.build_fails(f"FROM {IMAGE}\nCOPY hidden /x\n", "hidden")

    def test_the_dockerfile_may_be_ignored_and_still_used(self):
        self.file(".dockerignore", "Dockerfile\n.dockerignore\n")
        self.file("f")
        self.build(f"FROM {IMAGE}\nCOPY . /c\n")
        self.assertEqual(self.sh("ls -A /c"), "f\n")

    def test_another_dockerfile(self):
        path = self.file("sub/Other", f"FROM {IMAGE}\nRUN echo other > /x\n")
        self.ok("build", "-t", self.tag, "-f", path, self.context)
        self.assertEqual(self.sh("cat /x"), "other\n")

    def test_a_dockerfile_outside_the_context(self):
        outside = os.path.join(self.folder(), "D")
        with open(outside, "w") as file:
            file.write(f"FROM {IMAGE}\nCOPY f /f\n")
        self.file("f", "in the context")
        self.ok("build", "-t", self.tag, "-f", outside, self.context)
        self.assertEqual(self.sh("cat /f"), "in the context")

    def test_from_stdin(self):
        self.ok("build", "-t", self.tag, "-", input=f"FROM {IMAGE}\nRUN echo piped > /x\n")
        self.assertEqual(self.sh("cat /x"), "piped\n")
        self.ok("build", "-t", self.tag, "-", text=False,
                input=tar([entry("Dockerfile", data=f"FROM {IMAGE}\nCOPY f /x\n".encode()), entry("f", data=b"in a tar")]))
        self.assertEqual(self.sh("cat /x"), "in a tar")

    def test_sources_cannot_leave_the_context(self):
        secret = os.path.join(self.folder(), "secret")
        with open(secret, "w") as file:
            file.write("outside")
        os.symlink(secret, os.path.join(self.context, "link"))
        os.symlink(os.path.dirname(secret), os.path.join(self.context, "dirlink"))
        for source in ("../secret", f"..{secret}", secret, "dirlink/secret", f"link/../../..{secret}"):
            with self.subTest(source=source):
                self.assertNotEqual(self.try_build(f"FROM {IMAGE}\nCOPY {source} /x\n").code, 0)
        result = self.try_build(f"FROM {IMAGE}\nCOPY link /x\n")
        if result.code == 0:
            self.assertNotIn("outside", self.sh("cat /x 2>/dev/null; true"))

    def test_destinations_stay_in_the_image(self):
        outside = self.folder()
        self.file("f", "evil")
        result = self.try_build(f"FROM {IMAGE}\nRUN ln -s {outside} /link\nCOPY f /link/f\nCOPY f /../../..{outside}/g\n")
        self.assertEqual(os.listdir(outside), [], str(result))

    def test_hostile_archives_in_add(self):
        outside = self.folder()
        up = "../" * 20
        self.file("evil.tar", tar([symlink("link", outside), entry("link/new", data=b"evil"),
                                   entry(f"{up}{outside}/new2", data=b"evil"), entry("h", kind=tarfile.LNKTYPE, link="/etc/hostname")]))
        self.try_build(f"FROM {IMAGE}\nADD evil.tar /x/\n")
        self.assertEqual(os.listdir(outside), [])

    def test_several_tags_and_files_with_ids(self):
        self.addCleanup(self.engine, "rmi", "-f", "second-tag:2")
        path = os.path.join(self.folder(), "iid")
        self.build(f"FROM {IMAGE}\nRUN true\n", "-t", "second-tag:2", "--iidfile", path)
        with open(path) as file:
            self.assertEqual(file.read().strip(), self.engine.inspect("second-tag:2")["Id"])

    def test_quiet_prints_the_id_alone(self):
        result = self.build(f"FROM {IMAGE}\nRUN echo noise\n", "-q")
        self.assertEqual(result.text, self.engine.inspect(self.tag)["Id"])

    def test_labels_by_flag(self):
        self.build(f"FROM {IMAGE}\n", "--label", "by=flag")
        self.assertEqual(self.config()["Labels"]["by"], "flag")

    def test_the_result_is_a_valid_image(self):
        self.file("f")
        self.build(f"FROM {IMAGE}\nENV A=1\nCOPY f /f\nRUN echo x > /x\n")
        image = self.engine.inspect(self.tag)
        history = json.loads("[" + ",".join(self.ok("history", "--no-trunc", "--format", "{{json .}}", self.tag).lines) + "]")
        self.assertEqual(len(image["RootFS"]["Layers"]), 3)
        self.assertEqual(len(history), 4)
        self.assertTrue(any("echo x > /x" in row["CreatedBy"] for row in history))
        self.assertRegex(image["Created"], r"^\d{4}-\d\d-\d\dT")
        self.assertEqual((image["Os"], bool(image["Architecture"])), ("linux", True))


class Errors(BuildCase):
    """An error names the file, the line and the instruction, and leaves nothing."""

    def test_unknown_instruction(self):
        result = self.build_fails(f"FROM {IMAGE}\nRUN true\nFROBNICATE x\n", "frobnicate")
        self.assertIn("3", result.err + result.out)

    def test_a_failing_command(self):
        result = self.build_fails(f"FROM {IMAGE}\nRUN echo before; exit 42\n", "42", "echo before; exit 42")
        self.assertIn("before", result.out + result.err)

    def test_it_names_file_line_and_instruction(self):
        self.only_berth("the classic builder names the step")
        for text, line in ((f"FROM {IMAGE}\n\nRUN exit 3\n", 3), (f"FROM {IMAGE}\nRUN true\n\n\nCOPY no-such /x\n", 5),
                           (f"FROM {IMAGE}\nWORKDIR\n", 2), (f"FROM {IMAGE}\nENV\n", 2), (f"FROM {IMAGE}\nNOPE\n", 2),
                           (f"FROM {IMAGE}\nRUN true && \\\n  exit 4\n", 2)):
            with self.subTest(text=text):
                result = self.try_build(text)
                self.assertNotEqual(result.code, 0)
                self.assertRegex(result.err, rf"Dockerfile:{line}\b", str(result))

    def test_malformed_files(self):
        for text, says in (("", "empty"), ("# only a comment\n", ""), ("RUN true\n", "FROM"),
                           (f"FROM {IMAGE} AS\n", "FROM"), (f"FROM {IMAGE}\nCOPY one\n", "COPY"), (f"FROM {IMAGE}\nRUN\n", "RUN"),
                           (f"FROM {IMAGE}\nEXPOSE x\n", ""), (f"FROM {IMAGE}\nHEALTHCHECK WHAT\n", "HEALTHCHECK"),
                           (f"FROM {IMAGE}\nONBUILD FROM x\n", "ONBUILD"), (f"FROM {IMAGE}\nSHELL /bin/sh\n", "SHELL"),
                           (f"FROM {IMAGE}\nCOPY --nope f /\n", "nope"), (f"FROM {IMAGE}\nSTOPSIGNAL NOSIG\n", "NOSIG"),
                           (f"FROM {IMAGE}\nENV x\n", "ENV"), (f"FROM {IMAGE}\nLABEL\n", "LABEL"),
                           ("FROM a b c d\n", "FROM"), ("FROM UPPER:x\n", "UPPER")):
            with self.subTest(text=text):
                self.build_fails(text, says)

    def test_an_unknown_base_or_stage(self):
        self.build_fails("FROM no-such-image-anywhere:1\n", "no-such-image-anywhere")
        self.build_fails(f"FROM {IMAGE}\nCOPY --from=nowhere-at-all /x /x\n", "nowhere-at-all")

    def test_a_missing_file_and_folder(self):
        self.build_fails(f"FROM {IMAGE}\nCOPY not-there /x\n", "not-there")
        result = self.engine("build", os.path.join(self.context, "no-folder"))
        self.assertNotEqual(result.code, 0)
        self.assertIn("no-folder", result.err)
        result = self.engine("build", self.folder())
        self.assertNotEqual(result.code, 0)
        self.assertIn("dockerfile", result.err.lower())

    def test_a_deep_or_long_file_is_survived(self):
        self.try_build(f"FROM {IMAGE}\nENV A=" + "${" * 20000 + "\n")
        self.try_build(f"FROM {IMAGE}\nENV A=" + "x" * 2_000_000 + "\n")
        self.try_build("FROM " + "a/" * 5000 + "b\n")
        self.assertEqual(self.engine.api.get("/_ping").status, 200)

    def test_nothing_is_left_by_a_failed_build(self):
        containers = set(self.ok("ps", "-aq").lines)
        images = set(self.ok("images", "-aq").lines)
        self.try_build(f"FROM {IMAGE}\nRUN exit 1\n")
        if not (self.against_docker or self.docker_command):  # the classic builder leaves its containers
            self.assertEqual(set(self.ok("ps", "-aq").lines), containers)
        self.assertEqual(set(self.ok("images", "-aq").lines), images)

    def test_an_interrupted_build_leaves_nothing(self):
        self.only_berth("the classic builder may leave its containers")
        length = str(100_000 + os.getpid())  # nobody else sleeps as long
        self.file("Dockerfile", f"FROM {IMAGE}\nRUN echo running && sleep {length}\n")
        with self.engine.popen("build", "-t", self.tag, self.context) as client:
            Lines(client.stdout).until("running")
            client.send_signal(signal.SIGINT)
            client.wait(20)

        def quiet():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as line:
                        if line.read() == f"sleep\0{length}\0".encode() and os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid"):
                            return False
                except OSError:
                    continue
            return True

        eventually(quiet, "the step has ended")
        self.assertEqual(self.engine("inspect", "--type", "image", self.tag).code, 1)


class Output(BuildCase):
    def test_plain_lines_where_there_is_no_terminal(self):
        result = self.build(f"FROM {IMAGE}\nRUN echo said-by-the-step\n")
        text = result.out + result.err
        self.assertIn("said-by-the-step", text)
        self.assertNotIn("\x1b[", text)

    def test_limits_apply_to_steps(self):
        self.build(f"FROM {IMAGE}\nRUN cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes > /limit "
                   "2>/dev/null; true\n", "-m", "64m", "--no-cache")
        self.assertEqual(self.sh("cat /limit").strip(), str(64 << 20))
