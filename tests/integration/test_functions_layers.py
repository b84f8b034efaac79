"""Modules out of layers, where AWS's runtimes find them."""
import base64
import json

from harness import runtimes
from harness.functions import FunctionsCase, zip_of


class Layers(FunctionsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Of another minor version than the Python within, as berth's own bases have it.
        for base in (runtimes.python_base("python3.12"), runtimes.nodejs_base()):
            loaded = cls.engine.load(base)
            assert loaded.code == 0, str(loaded)

    def layer(self, name, files):
        made = self.api.request("POST", f"/2018-10-31/layers/{name}/versions",
                                {"Content": {"ZipFile": base64.b64encode(zip_of(files)).decode()}})
        self.assertEqual(made.status, 201, str(made))
        return made.json()["LayerVersionArn"]

    def called(self, name, files, **members):
        made = self.api.create(name, files, Timeout=30, MemorySize=512, **members)
        self.assertEqual(made.status, 201, str(made))
        self.addCleanup(self.api.request, "DELETE", f"/2015-03-31/functions/{name}")
        answer = self.api.invoke(name, {})
        self.assertEqual((answer.status, answer.headers.get("X-Amz-Function-Error")), (200, None), str(answer))
        return json.loads(answer.body)

    def test_site_packages_of_the_version_that_the_function_names(self):
        site = "python/lib/python3.12/site-packages"
        layer = self.layer("site", {f"{site}/plain.py": "NAME = 'plain'\n", f"{site}/more.pth": "below\n",
                                    f"{site}/below/named.py": "NAME = 'named by a .pth file'\n",
                                    "python/first.py": "NAME = 'first'\n"})
        code = "import first, named, plain\ndef handler(event, context):\n    return [first.NAME, named.NAME, plain.NAME]\n"
        self.assertEqual(self.called("site", {"app.py": code}, Runtime="python3.12", Handler="app.handler", Layers=[layer]),
                         ["first", "named by a .pth file", "plain"])

    def test_modules_of_either_kind(self):
        layer = self.layer("modules", {
            "nodejs/node_modules/either/package.json": json.dumps({
                "name": "either", "exports": {"import": "./module.mjs", "require": "./common.cjs"}}),
            "nodejs/node_modules/either/module.mjs": "export const kind = 'module';\n",
            "nodejs/node_modules/either/common.cjs": "exports.kind = 'common';\n",
            "nodejs/node20/node_modules/versioned/index.js": "exports.kind = 'of this version';\n"})
        module = ("import {kind} from 'either';\nimport versioned from 'versioned';\nimport {own} from './own.mjs';\n"
                  "export const handler = async () => [kind, versioned.kind, own];\n")
        common = "exports.handler = async () => [require('either').kind, require('versioned').kind];\n"
        named = {"Runtime": "nodejs20.x", "Handler": "index.handler", "Layers": [layer]}
        self.assertEqual(self.called("esm", {"index.mjs": module, "own.mjs": "export const own = 'own';\n"}, **named),
                         ["module", "of this version", "own"])
        self.assertEqual(self.called("cjs", {"index.js": common}, **named), ["common", "of this version"])
        missing = self.api.create("missing", {"index.mjs": "import 'nowhere';\nexport const handler = () => 1;\n"}, **named)
        self.assertEqual(missing.status, 201, str(missing))
        self.addCleanup(self.api.request, "DELETE", "/2015-03-31/functions/missing")
        failed = self.api.invoke("missing", {}).json()
        self.assertEqual(failed["errorType"], "Runtime.ImportModuleError")
        self.assertIn("Cannot find package 'nowhere'", failed["errorMessage"])
