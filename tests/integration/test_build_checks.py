"""berth build --check and --call: answers about a Dockerfile instead of an image of it."""
import json
import os

from harness.engine import IMAGE, EngineCase

DOCKERFILE = "# TAG which one\nARG TAG=base\nFROM berth-test:$TAG AS App\nENV A=$NOTHING\nCMD echo hello\n"


class Checks(EngineCase):
    def setUp(self):
        super().setUp()
        self.only_berth("its command is tried here")
        self.only_our_command("it needs its buildx plugin for this, which the tests of conformance have")

    def folder_with(self, dockerfile, **files):
        folder = self.folder()
        for name, text in {"Dockerfile": dockerfile, **files}.items():
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        return folder

    def test_findings_have_their_place_and_set_the_status(self):
        folder = self.folder_with(DOCKERFILE)
        done = self.engine("build", "--check", folder)
        self.assertEqual(done.code, 1, done)
        self.assertTrue(done.out.startswith("Check complete, 3 warnings have been found!\n\nWARNING: StageNameCasing - https://"), done.out)
        self.assertIn(f"Usage of undefined variable '$NOTHING'\n{folder}/Dockerfile:4\n--------------------\n", done.out)
        self.assertIn("   4 | >>> ENV A=$NOTHING\n", done.out)
        done = self.engine("build", "--call", "check,format=json", "-f", os.path.join(folder, "Dockerfile"), folder)
        self.assertEqual(done.code, 1, done)
        self.assertEqual([warning["ruleName"] for warning in json.loads(done.out)["warnings"]],
                         ["StageNameCasing", "UndefinedVar", "JSONArgsRecommended"])
        self.assertEqual(self.engine("image", "ls", "-q", "-f", "dangling=true").out, "")

    def test_nothing_found(self):
        self.assertEqual(self.ok("build", "--check", self.folder_with(f"FROM {IMAGE}\n")).out, "Check complete, no warnings found.\n")
        folder = self.folder_with("# check=skip=all\n" + DOCKERFILE)
        self.assertIn("no warnings", self.ok("build", "--check", folder).out)
        self.assertIn("no warnings", self.ok("build", "--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all",
                                             self.folder_with(DOCKERFILE)).out)

    def test_what_cannot_be_parsed(self):
        done = self.engine("build", "--check", self.folder_with("FROM scratch\nFRUM x\n"))
        self.assertEqual(done.code, 1, done)
        self.assertIn("unknown instruction: FRUM", done.err)
        self.assertIn("   2 | >>> FRUM x", done.err)
        self.fails(1, "build", "--check", self.folder_with("# check=wrong\nFROM scratch\n"), says="invalid check option")

    def test_files_that_the_ignore_file_keeps_away(self):
        folder = self.folder_with("# check=experimental=CopyIgnoredFile\nFROM scratch\nCOPY secret.txt /\n", **{".dockerignore": "*.txt\n"})
        self.assertIn('Attempting to Copy file "secret.txt" that is excluded by .dockerignore', self.engine("build", "--check", folder).out)

    def test_targets_and_an_outline(self):
        folder = self.folder_with(DOCKERFILE)
        self.assertEqual(self.ok("build", "--call", "targets", folder).out, "TARGET        DESCRIPTION\napp (default) \n")
        self.assertIn("TAG         other   which one", self.ok("build", "--call", "outline", "--build-arg", "TAG=other", folder).out)
        self.fails(1, "build", "--call", "outline", "--target", "none", folder, says="could not be found")
        self.fails(1, "build", "--call", "other", folder, says="check, outline or targets")

    def test_a_file_whose_findings_are_errors(self):
        self.fails(1, "build", self.folder_with("# check=error=true\n" + DOCKERFILE), says="lint violation found for rules")
        # docker's classic lines have no findings.
        self.assertNotIn("UndefinedVar", self.ok("build", "-t", "checks/plain", self.folder_with(DOCKERFILE)).text)
