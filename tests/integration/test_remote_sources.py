"""What the engine fetches itself: contexts of builds from git repositories and URLs (POST /build?remote=), and the archive
of an import (POST /images/create?fromSrc=)."""
import base64
import os
import urllib.parse

from harness import archives
from harness.engine import IMAGE, eventually
from harness.git_server import FileServer, GitDaemon, Repository, SmartServer, SshServer, git_daemon, ssh_server
from test_moby_builds import BuildCase


class RemoteCase(BuildCase):
    def served(self, authorization=None):
        """(A folder, the HTTP server that gives out its files)."""
        folder = self.folder()
        server = FileServer(folder, authorization)
        self.addCleanup(server.close)
        return folder, server

    def build_from(self, remote, tag="", **parameters):
        query = urllib.parse.urlencode({**({"t": tag} if tag else {}), "remote": remote, **parameters})
        answer = self.engine.api.post(f"/build?{query}", timeout=300)
        self.build_status = answer.status
        if tag:
            self.addCleanup(self.engine, "rmi", "-f", tag)
        return answer.json_lines()

    def contents(self, remote, **parameters):
        """What `find` says of /all, to which the build's Dockerfile copies the context."""
        tag = f"{self.name()}:1"
        messages = self.build_from(remote, tag, **parameters)
        self.assertIn("Successfully built", self.text(messages), messages)
        return sorted(self.run_sh("cd /all && find . -type f | cut -c3-", image=tag).text.split())


ALL = f"FROM {IMAGE}\nCOPY . /all\n"


class GitCase(RemoteCase):
    def setUp(self):
        super().setUp()
        if not git_daemon():
            self.skipTest("git is not installed")
        self.top = self.folder()
        self.daemon = GitDaemon(self.top)
        self.addCleanup(self.daemon.close)

    def repository(self, name, files):
        return Repository(os.path.join(self.top, name), files)


class GitContexts(GitCase):
    def test_a_repository(self):
        self.repository("app.git", {"Dockerfile": ALL, "f": "1", "deep/g": "2", ".dockerignore": "ignored\n", "ignored": "3"})
        url = f"{self.daemon.url}/app.git"
        self.assertEqual(self.contents(url), [".dockerignore", "Dockerfile", "deep/g", "f"])
        kept = self.contents(url, buildargs='{"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"}')
        self.assertIn(".git/HEAD", kept)

    def test_the_same_commit_is_the_same_context(self):
        self.repository("app.git", {"Dockerfile": ALL, "f": self.name()})
        url, tag = f"{self.daemon.url}/app.git", f"{self.name()}:1"
        first = self.build_from(url, tag)
        self.assertEqual(self.text(first).count("Using cache"), 0)
        self.assertEqual(self.text(self.build_from(url, tag)).count("Using cache"), 1)

    def test_refs_and_directories(self):
        made = self.repository("app.git", {"Dockerfile": ALL, "one": "1"})
        first = made.git("rev-parse", "HEAD")
        made.git("tag", "-a", "v1", "-m", "tag")
        made.git("checkout", "-q", "-b", "feature/two")
        made.commit({"sub/Dockerfile": ALL, "sub/two": "2"})
        made.git("update-ref", "refs/pull/7/head", "HEAD")
        made.git("checkout", "-q", "main")
        made.commit({"three": "3"})
        url = f"{self.daemon.url}/app.git"
        for fragment, files in (("", ["Dockerfile", "one", "three"]), ("#main", ["Dockerfile", "one", "three"]),
                                ("#v1", ["Dockerfile", "one"]), (f"#{first}", ["Dockerfile", "one"]),
                                (f"#{first[:10]}", ["Dockerfile", "one"]), ("#feature/two:sub", ["Dockerfile", "two"]),
                                ("#pull/7/head:/sub", ["Dockerfile", "two"]), ("#refs/heads/feature/two:sub", ["Dockerfile", "two"])):
            self.assertEqual(self.contents(url + fragment), files, fragment)

    def test_over_plain_http(self):
        folder, server = self.served()
        made = Repository(os.path.join(folder, "work"), {"Dockerfile": ALL, "f": "1"})
        made.git("clone", "-q", "--bare", ".", os.path.join(folder, "app.git"))
        made.git("--git-dir", os.path.join(folder, "app.git"), "update-server-info")
        self.assertEqual(self.contents(f"{server.url}/app.git#main"), ["Dockerfile", "f"])

    def test_dockerfiles(self):
        made = self.repository("app.git", {"dockerfile": f"FROM {IMAGE}\nRUN echo from dockerfile\n", "other": f"FROM {IMAGE}\nRUN echo from other\n"})
        url = f"{self.daemon.url}/app.git"
        self.assertIn("from dockerfile", self.text(self.build_from(url, nocache="1")))
        self.assertIn("from other", self.text(self.build_from(url, nocache="1", dockerfile="other")))
        made.commit({"Dockerfile": f"FROM {IMAGE}\nRUN echo from Dockerfile\n"})
        self.assertIn("from Dockerfile", self.text(self.build_from(url, nocache="1")))

    def test_submodules(self):
        self.repository("leaf.git", {"leaf": "1"})
        middle = self.repository("middle.git", {"middle": "1"})
        middle.git("submodule", "add", "-q", f"{self.daemon.url}/leaf.git", "below/leaf")
        middle.commit({})
        app = self.repository("app.git", {"Dockerfile": ALL})
        app.git("submodule", "add", "-q", "../middle.git", "third/middle")
        app.commit({})
        self.assertEqual(self.contents(f"{self.daemon.url}/app.git"),
                         [".gitmodules", "Dockerfile", "third/middle/.gitmodules", "third/middle/below/leaf/leaf", "third/middle/middle"])

    def test_submodules_that_lead_elsewhere(self):
        secret = self.repository("secret.git", {"secret": "1"})
        commit = secret.git("rev-parse", "HEAD")
        link = f"160000 commit {commit}\tsub"
        for number, (url, says) in enumerate(((secret.folder, "not reached over a network"), (f"file://{secret.folder}", "not reached over a network"),
                                              ("ext::sh -c id", "is no URL"), ("-u/x", "not reached over a network"),
                                              ("../../../x", "leads out of"), ("", "no URL found"))):
            app = self.repository(f"app{number}.git", {})
            modules = app.git("hash-object", "-w", "--stdin", input=f'[submodule "s"]\n\tpath = sub\n\turl = {url}\n')
            dockerfile = app.git("hash-object", "-w", "--stdin", input=ALL)
            app.commit_tree(f"100644 blob {modules}\t.gitmodules", f"100644 blob {dockerfile}\tDockerfile", link)
            error = self.error_of(self.build_from(f"{self.daemon.url}/app{number}.git"))
            self.assertIn(says, error, url)

    def test_a_bomb_is_measured_before_it_is_written(self):
        bomb = self.repository("bomb.git", {})
        tree = bomb.git("hash-object", "-w", "--stdin", input="x")
        kind = "100644 blob"
        for _ in range(5):
            tree = bomb.git("mktree", input="".join(f"{kind} {tree}\t{name:02}\n" for name in range(32)))
            kind = "040000 tree"
        bomb.commit_tree(f"040000 tree {tree}\tx")
        error = self.error_of(self.build_from(f"{self.daemon.url}/bomb.git"))
        self.assertIn("more than 1000000 files", error)
        self.assertGreaterEqual(self.build_status, 400, "nothing had been told")
        eventually(lambda: not os.listdir(os.path.join(self.engine.data, "tmp", "build")), "nothing is left")

    def test_what_cannot_be_had_is_told(self):
        self.repository("app.git", {"Dockerfile": ALL, "out": ("link", "/etc"), "file": "x"})
        url = f"{self.daemon.url}/app.git"
        for remote, says in ((f"{url}#none", "couldn't find remote ref none"), (f"{self.daemon.url}/no.git", "fetching"),
                             (f"{url}#main:none", "there is no directory none"), (f"{url}#main:file", "there is no directory file"),
                             (f"{url}#main:out", "there is no directory out"),
                             (f"{url}#--upload-pack=touch", "is no place in a repository"), (f"{url}#a:b", "couldn't find"),
                             (f"{url}#+main", "is no place in a repository"), ("ssh://-oProxyCommand=x/y.git", "is no place in a repository"),
                             ("git://127.0.0.1:1/x.git", "fetching git://127.0.0.1:1/x.git#HEAD"), ("file:///x.git", "unknown remote build context"),
                             ("ext::sh -c id", "unknown remote build context")):
            error = self.error_of(self.build_from(remote))
            self.assertIn(says, error, remote)
            self.assertGreaterEqual(self.build_status, 400, remote)
        self.assertEqual(self.contents(f"{url}#main:../.."), ["Dockerfile", "file"], "above the top is the top")

    def test_credentials_are_not_told(self):
        _, server = self.served(authorization="Basic never")
        error = self.error_of(self.build_from(f"http://user:secret@{server.host}/app.git"))
        self.assertIn(f"fetching http://{server.host}/app.git#HEAD", error)
        self.assertNotIn("secret", error)

    def test_add_of_a_repository(self):
        made = self.repository("app.git", {"f": "1", "sub/g": "2"})
        commit = made.git("rev-parse", "HEAD")
        url = f"{self.daemon.url}/app.git"
        for options, find in (("", "f sub/g"), ("--keep-git-dir=true ", ".git/HEAD"), (f"--checksum={commit} ", "f sub/g")):
            tag = f"{self.name()}:1"
            self.build(f"FROM {IMAGE}\nADD {options}{url}#main /here\nADD {url}#main:sub /there/\n", tag)
            found = self.run_sh("cd /here && find . -type f | sort | cut -c3-; ls /there", image=tag).text.split()
            self.assertTrue(set(find.split()) <= set(found), found)
            self.assertEqual(found[-1], "g")
        error = self.error_of(self.build(f"FROM {IMAGE}\nADD --checksum={'0' * 40} {url} /here\n"))
        self.assertIn(f"#HEAD is commit {commit}, not 0000", error)
        error = self.error_of(self.build(f"FROM {IMAGE}\nADD {url}#none /here\n"))
        self.assertIn("ADD failed: fetching", error)

    def test_by_the_command(self):
        self.repository("app.git", {"Dockerfile": ALL, "f": "1"})
        tag = f"{self.name()}:1"
        self.addCleanup(self.engine, "rmi", "-f", tag)
        self.ok("build", "-t", tag, f"{self.daemon.url}/app.git#main", timeout=120)
        self.assertEqual(self.run_sh("cat /all/f", image=tag).text, "1")

    def test_a_named_context_by_the_command(self):
        self.only_our_command("the docker command asks BuildKit for named contexts")
        self.repository("app.git", {"f": "1", "sub/g": "2"})
        tag, folder = f"{self.name()}:1", self.folder()
        self.addCleanup(self.engine, "rmi", "-f", tag)
        with open(os.path.join(folder, "Dockerfile"), "w") as file:
            file.write(f"FROM {IMAGE}\nCOPY --from=other . /all\n")
        before = self.ok("images", "-aq").out.split()
        self.ok("build", "-t", tag, "--build-context", f"other={self.daemon.url}/app.git#main:sub", folder, timeout=120)
        self.assertEqual(self.run_sh("cd /all && find . -type f", image=tag).text, "./g")
        self.assertEqual(len(set(self.ok("images", "-aq").out.split()) - set(before)), 1, "the repository's image goes")
        missing = self.engine("build", "--build-context", f"other={self.daemon.url}/none.git", folder)
        self.assertNotEqual(missing.code, 0)
        self.assertIn("ADD failed: fetching", missing.err)

    def test_over_smart_http(self):
        made = self.repository("app.git", {"Dockerfile": ALL, "f": "1", "sub/Dockerfile": ALL})
        made.git("tag", "v1")
        server = SmartServer(self.top)
        self.addCleanup(server.close)
        self.assertEqual(self.contents(f"{server.url}/app.git"), ["Dockerfile", "f", "sub/Dockerfile"])
        self.assertEqual(self.contents(f"{server.url}/app.git#v1:sub"), ["Dockerfile"])
        self.assertEqual(self.contents(f"{server.url}/app.git#{made.git('rev-parse', 'HEAD')[:12]}:sub"), ["Dockerfile"])
        self.assertIn("git-upload-pack", server.services)
        error = self.error_of(self.build_from(f"{server.url}/none.git"))
        self.assertIn("none.git", error)

    def test_over_smart_http_with_a_password(self):
        self.repository("app.git", {"Dockerfile": ALL, "f": "1"})
        server = SmartServer(self.top, "Basic " + base64.b64encode(b"me:secret").decode())
        self.addCleanup(server.close)
        self.assertEqual(self.contents(f"http://me:secret@{server.host}/app.git"), ["Dockerfile", "f"])
        for remote in (f"{server.url}/app.git", f"http://me:other@{server.host}/app.git"):
            error = self.error_of(self.build_from(remote))
            self.assertIn(f"fetching {server.url}/app.git#HEAD", error)
            self.assertNotIn("other", error)


class GitOverSsh(GitCase):
    """By the build's own agent, as `docker buildx build --ssh default` gives it to BuildKit."""

    def setUp(self):
        super().setUp()
        if not ssh_server():
            self.skipTest("openssh-server is not installed")
        self.server = SshServer(self.folder())
        self.addCleanup(self.server.close)

    def test_of_the_agent_that_was_given(self):
        library = self.repository("library", {"l": "2"})
        made = self.repository("app.git", {"Dockerfile": ALL, "f": "1"})
        url = f"{self.server.url}{self.top}"
        made.git("submodule", "add", "-q", library.folder, "library")
        made.git("config", "-f", ".gitmodules", "submodule.library.url", f"{url}/library")
        made.commit({})
        tag = f"{self.name()}:1"
        self.addCleanup(self.engine, "rmi", "-f", tag)
        self.ok("build", "-t", tag, "--ssh", f"default={self.server.agent}", f"{url}/app.git#main", timeout=120)
        self.assertEqual(self.run_sh("cat /all/f /all/library/l", image=tag).text, "12")

    def test_by_add(self):
        self.repository("app.git", {"f": "1"})
        work = self.folder()
        with open(os.path.join(work, "Dockerfile"), "w") as file:
            file.write(f"FROM {IMAGE}\nADD {self.server.url}{self.top}/app.git /here\n")
        tag = f"{self.name()}:1"
        self.addCleanup(self.engine, "rmi", "-f", tag)
        self.ok("build", "-t", tag, "--ssh", f"default={self.server.agent}", work, timeout=120)
        self.assertEqual(self.run_sh("cat /here/f", image=tag).text, "1")
        refused = self.engine("build", "--no-cache", work, timeout=120)
        self.assertNotEqual(refused.code, 0)
        self.assertIn("Host key verification failed", refused.err)

    def test_without_an_agent_only_known_hosts_are_asked(self):
        self.repository("app.git", {"Dockerfile": ALL})
        error = self.error_of(self.build_from(f"{self.server.url}{self.top}/app.git"))
        self.assertIn("Host key verification failed", error)
        self.assertNotIn("Accepted publickey", self.server.said())


class Urls(RemoteCase):
    def test_a_dockerfile_and_a_tar(self):
        folder, server = self.served()
        with open(os.path.join(folder, "file"), "w") as file:
            file.write(f"FROM {IMAGE}\nRUN echo alone\n")
        self.assertIn("alone", self.text(self.build_from(f"{server.url}/file", nocache="1", dockerfile="none")))
        with open(os.path.join(folder, "context.tar"), "wb") as file:
            file.write(archives.tar([archives.entry("Dockerfile", data=ALL.encode()), archives.entry("f", data=b"1")]))
        self.assertEqual(self.contents(f"{server.url}/context.tar"), ["Dockerfile", "f"])

    def test_what_is_missing_is_the_answers_status(self):
        _, server = self.served()
        self.build_from(f"{server.url}/none")
        self.assertEqual(self.build_status, 404)


class Imports(RemoteCase):
    def root(self, folder, name="root.tar"):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(archives.tar(archives.busybox_entries()))

    def fetch(self, source, repository=""):
        query = urllib.parse.urlencode({"fromSrc": source, **({"repo": repository} if repository else {})})
        answer = self.engine.api.post(f"/images/create?{query}", timeout=120)
        if repository:
            self.addCleanup(self.engine, "rmi", "-f", repository)
        return answer

    def test_from_a_url(self):
        folder, server = self.served()
        self.root(folder)
        tag = f"{self.name()}:1"
        messages = self.fetch(f"{server.url}/root.tar", tag).json_lines()
        self.assertEqual(messages[0], {"status": f"Downloading from {server.url}/root.tar"})
        importing = [message["progressDetail"] for message in messages if message["status"] == "Importing"]
        self.assertTrue(importing and all(step["total"] == os.path.getsize(os.path.join(folder, "root.tar")) for step in importing), messages)
        self.assertEqual(messages[-1]["status"], self.image(tag)["Id"])
        self.assertEqual(self.image(tag)["Comment"], f"Imported from {server.url}/root.tar")
        self.assertEqual(self.engine("run", "--rm", tag, "/bin/sh", "-c", "echo in").text, "in")

    def test_without_a_scheme_it_is_http(self):
        folder, server = self.served()
        self.root(folder)
        answer = self.fetch(f"{server.host}/root.tar", f"{self.name()}:1")
        self.assertIn({"status": f"Downloading from {server.url}/root.tar"}, answer.json_lines())

    def test_what_cannot_be_had(self):
        folder, server = self.served()
        with open(os.path.join(folder, "text"), "w") as file:
            file.write("no archive at all\n" * 100)
        self.assertEqual(self.fetch(f"{server.url}/none").status, 404)
        self.assertEqual(self.fetch("file:///etc/passwd").status, 400)
        self.assertIn("tar", self.error_of(self.fetch(f"{server.url}/text").json_lines()))
        self.assertIn("dial tcp: lookup nosuchdomain.invalid", self.fetch("https://nosuchdomain.invalid/bad").message)
        self.assertEqual(self.engine.api.get('/images/json?filters={"dangling":["true"]}').json(), [])

    def test_credentials_are_not_told(self):
        folder, server = self.served(authorization="Basic " + base64.b64encode(b"user:secret").decode())
        self.root(folder)
        tag = f"{self.name()}:1"
        answer = self.fetch(f"http://user:secret@{server.host}/root.tar", tag)
        self.assertEqual(answer.json_lines()[-1]["status"], self.image(tag)["Id"])
        self.assertNotIn(b"secret", answer.body)
        self.assertNotIn("secret", str(self.engine.api.get(f"/images/{tag}/history").json()) + str(self.image(tag)))
        refused = self.fetch(f"http://user:wrong-one@{server.host}/root.tar")
        self.assertGreaterEqual(refused.status, 400)
        self.assertNotIn(b"wrong-one", refused.body)

    def test_by_the_command(self):
        folder, server = self.served()
        self.root(folder)
        tag = f"{self.name()}:1"
        self.addCleanup(self.engine, "rmi", "-f", tag)
        self.ok("import", f"{server.url}/root.tar", tag)
        self.assertEqual(self.engine("run", "--rm", tag, "/bin/sh", "-c", "echo in").text, "in")
