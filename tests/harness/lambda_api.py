"""What tests of the functions' API on the wire share."""
import base64
import unittest

from . import runtimes
from .engine import AGAINST, Engine
from .functions import FunctionsApi


def b64(data):
    return base64.b64encode(data).decode()


@unittest.skipIf(AGAINST == "docker", "dockerd runs no functions")
class LambdaCase(unittest.TestCase):
    flags = ()
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(cls.__name__, flags=cls.flags)
        try:
            cls.engine.start()
            runtimes.stand_in(cls.engine)
            cls.api = FunctionsApi(cls.engine.functions_address)
        except BaseException:
            cls.engine.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def function(self, name=None, **members):
        name = name or self._testMethodName[5:50]
        answer = self.api.create(name, **members)
        self.assertEqual(answer.status, 201, str(answer))
        self.addCleanup(lambda: type(self).api.request("DELETE", f"/2015-03-31/functions/{name}"))
        return name, answer.json()

    def get(self, target, status=200):
        answer = self.api.request("GET", target)
        self.assertEqual(answer.status, status, str(answer))
        return answer.json()

    def refused(self, answer, status, kind, text):
        self.assertEqual(answer.status, status, str(answer))
        self.assertEqual(answer.headers["x-amzn-ErrorType"], kind)
        body = answer.json()
        message = body.get("Message") or body.get("message")
        self.assertIn(text, message)
        return body
