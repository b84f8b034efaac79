# The runtime client of berth's Python bases: asks the Runtime API (2018-06-01) for events and runs the handler.
# Written for a quick start: nothing is imported that a handler without imports does not need; `logging` is set
# up as AWS has it when, and only when, somebody imports it.
import sys

from _socket import socket as _Socket, AF_INET, SOCK_STREAM, IPPROTO_TCP, TCP_NODELAY
from posix import environ as _bytes_environ

_environ = {k.decode("utf-8", "surrogateescape"): v.decode("utf-8", "surrogateescape")
            for k, v in _bytes_environ.items()}
_api = _environ["AWS_LAMBDA_RUNTIME_API"]
_json_logs = _environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"
_request_id = ""
_tenant_id = None


class _Connection:
    """One kept connection to the Runtime API; just enough of HTTP/1.1 for it."""

    def __init__(self):
        self.host, _, port = _api.partition(":")
        self.port = int(port or 80)
        self.socket = None
        self.rest = b""

    def _open(self):
        self.socket = _Socket(AF_INET, SOCK_STREAM)
        self.socket.connect((self.host, self.port))
        self.socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self.rest = b""

    def _receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("the Runtime API closed the connection")
        self.rest += data

    def call(self, method, path, body=None, fields=()):
        if self.socket is None:
            self._open()
        head = "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: berth-python\r\n" % (method, path, _api)
        for name, value in fields:
            head += "%s: %s\r\n" % (name, value)
        if body is not None:
            head += "Content-Length: %d\r\n" % len(body)
        message = head.encode("utf-8") + b"\r\n" + (body or b"")
        self.socket.sendall(message)
        return self._answer()

    def _answer(self):
        while True:
            end = self.rest.find(b"\r\n\r\n")
            if end >= 0:
                break
            self._receive()
        lines = self.rest[:end].decode("latin-1").split("\r\n")
        self.rest = self.rest[end + 4:]
        status = int(lines[0].split(" ", 2)[1])
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        length = int(fields.get("content-length", 0))
        if len(self.rest) < length:
            parts = [self.rest]
            have = len(self.rest)
            while have < length:
                data = self.socket.recv(min(1 << 20, length - have))
                if not data:
                    raise ConnectionResetError("the Runtime API closed the connection")
                parts.append(data)
                have += len(data)
            self.rest = b"".join(parts)
        body, self.rest = self.rest[:length], self.rest[length:]
        if fields.get("connection", "").lower() == "close":
            self.socket.close()
            self.socket = None
        return status, fields, body


class _Identity:
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self, document):
        self.cognito_identity_id = document.get("cognitoIdentityId")
        self.cognito_identity_pool_id = document.get("cognitoIdentityPoolId")

    def __repr__(self):
        return "CognitoIdentity([cognito_identity_id=%s,cognito_identity_pool_id=%s])" % (
            self.cognito_identity_id, self.cognito_identity_pool_id)


class _Client:
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")

    def __init__(self, document):
        for name in self.__slots__:
            setattr(self, name, document.get(name))


class _ClientContext:
    __slots__ = ("custom", "env", "client")

    def __init__(self, document):
        self.client = _Client(document.get("client") or {})
        self.custom = document.get("custom")
        self.env = document.get("env")


class LambdaContext:
    """What a handler gets as its second argument."""

    def __init__(self, fields):
        self.aws_request_id = fields["lambda-runtime-aws-request-id"]
        self.log_group_name = _environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = _environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = _environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = _environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = _environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = fields.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = fields.get("lambda-runtime-aws-tenant-id")
        client = fields.get("lambda-runtime-client-context")
        self.client_context = _ClientContext(_from_json(client)) if client else None
        identity = fields.get("lambda-runtime-cognito-identity")
        self.identity = _Identity(_from_json(identity) if identity else {})
        self._epoch_deadline_time_in_ms = int(fields["lambda-runtime-deadline-ms"])

    def get_remaining_time_in_millis(self):
        import time
        return max(int(self._epoch_deadline_time_in_ms - time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        return "LambdaContext([aws_request_id=%s,log_group_name=%s,log_stream_name=%s,function_name=%s," \
               "memory_limit_in_mb=%s,function_version=%s,invoked_function_arn=%s,client_context=%s,identity=%s])" % (
                   self.aws_request_id, self.log_group_name, self.log_stream_name, self.function_name,
                   self.memory_limit_in_mb, self.function_version, self.invoked_function_arn,
                   self.client_context, self.identity)


def _set_up_logging(logging):
    """AWS's handler on the root logger: text as [LEVEL]\\ttime\\trequest id\\tmessage, or JSON documents."""
    import time

    class Formatter(logging.Formatter):
        converter = time.gmtime

        def format(self, record):
            record.aws_request_id = _request_id
            return super().format(record)

    class JsonFormatter(logging.Formatter):
        converter = time.gmtime

        def format(self, record):
            import json
            document = {
                "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
                "level": record.levelname,
                "message": record.getMessage(),
                "logger": record.name,
                "requestId": _request_id or None,
            }
            if record.exc_info:
                document["errorType"] = record.exc_info[0].__name__
                document["errorMessage"] = str(record.exc_info[1])
                document["stackTrace"] = self.formatException(record.exc_info).split("\n")
                document["location"] = "%s:%s:%d" % (record.pathname, record.funcName, record.lineno)
            known = logging.LogRecord("", 0, "", 0, "", (), None).__dict__
            for name, value in record.__dict__.items():
                if name not in known and name not in ("message", "asctime", "taskName"):
                    document[name] = value
            document = {k: v for k, v in document.items() if v is not None}
            return json.dumps(document, default=str, ensure_ascii=False)

    class Handler(logging.Handler):
        def emit(self, record):
            sys.stdout.write(self.format(record) + "\n")
            sys.stdout.flush()

    handler = Handler()
    if _json_logs:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    root.addHandler(handler)
    level = _environ.get("AWS_LAMBDA_LOG_LEVEL", "")
    if level:
        root.setLevel({"TRACE": "DEBUG", "WARN": "WARNING", "FATAL": "CRITICAL"}.get(level, level))


class _LoggingHook:
    """Finds `logging` for the import system and sets it up once it has been executed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(_LoggingHook)
        from importlib.machinery import PathFinder
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            _set_up_logging(module)

        spec.loader.exec_module = exec_module
        return spec


def _own_frame(name):
    return name == __file__ or name.startswith("<frozen importlib") or name.endswith("importlib/__init__.py")


def _trace(error):
    import traceback
    return [line for frame in traceback.extract_tb(error.__traceback__) if not _own_frame(frame.filename)
            for line in traceback.format_list([frame])]


def _error_document(error, request_id=None):
    document = {"errorMessage": str(error), "errorType": type(error).__name__}
    if request_id is not None:
        document["requestId"] = request_id
    document["stackTrace"] = _trace(error)
    return document


def _log_error(document, kind=None):
    """The line that AWS's runtime writes for an error that nobody caught."""
    if _json_logs:
        import json
        import time
        record = {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "log_level": "ERROR"}
        record.update(document)
        sys.stdout.write(json.dumps(record) + "\n")
    else:
        text = "[ERROR] %s: %s" % (kind or document["errorType"], document["errorMessage"])
        if document.get("stackTrace"):
            text += "\nTraceback (most recent call last):\n" + "".join(document["stackTrace"]).rstrip("\n")
        # One event of several lines.
        sys.stdout.write(text.replace("\n", "\r") + "\n")
    sys.stdout.flush()


class _InitError(Exception):
    def __init__(self, kind, message, cause=None):
        super().__init__(message)
        self.kind = kind
        self.cause = cause


def _load_handler():
    name = _environ.get("_HANDLER", "")
    module_name, dot, function_name = name.rpartition(".")
    if not dot or not module_name:
        raise _InitError("Runtime.MalformedHandlerName",
                         "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % name)
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise _InitError("Runtime.BuiltInModuleConflict",
                         "Cannot use built-in module %s as a handler module" % module_name)
    written, module_name = module_name, module_name.replace("/", ".")
    try:
        __import__(module_name)  # what importlib.import_module() does, without importing importlib
        module = sys.modules[module_name]
    except ImportError as error:
        raise _InitError("Runtime.ImportModuleError",
                         "Unable to import module '%s': %s" % (written, error), error)
    except SyntaxError as error:
        raise _InitError("Runtime.UserCodeSyntaxError",
                         "Syntax error in module '%s': %s" % (written, error), error)
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise _InitError("Runtime.HandlerNotFound",
                         "Handler '%s' missing on module '%s'" % (function_name, module_name))


def _fail_init(connection, kind, document):
    import json
    _log_error(document, kind)
    body = json.dumps(document).encode("utf-8")
    connection.call("POST", "/2018-06-01/runtime/init/error", body,
                    (("Lambda-Runtime-Function-Error-Type", kind), ("Content-Type", "application/json")))
    sys.stdout.flush()
    import os
    os._exit(1)


class _ScanSettings:
    """What json.JSONDecoder gives its scanner."""
    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__

    def __init__(self):
        self.memo = {}


def _from_json(text):
    """json.loads() without what `json` imports, which takes as long as a third of the interpreter's start."""
    try:
        import _json
        stripped = text.strip(" \t\n\r")
        value, end = _json.make_scanner(_ScanSettings())(stripped, 0)
        if end == len(stripped):
            return value
    except Exception:
        pass
    import json  # for its words about what is wrong
    return json.loads(text)


def _to_json(value):
    def default(other):
        if type(other).__name__ == "Decimal":
            return int(other) if other == other.to_integral_value() else float(other)
        raise TypeError("Object of type %s is not JSON serializable" % type(other).__name__)

    try:
        import _json
        encoder = _json.make_encoder({}, default, _json.encode_basestring, None, ": ", ", ", False, False, True)
    except (ImportError, AttributeError, TypeError):  # another interpreter than the one this was written for
        import json
        text = json.dumps(value, default=default, ensure_ascii=False)
    else:
        text = "".join(encoder(value, 0))
    return text.encode("utf-8", "surrogatepass")


class _MarshalError(Exception):
    pass


def _run_event(connection, handler, fields, body):
    global _request_id
    _request_id = fields["lambda-runtime-aws-request-id"]
    import os
    trace = fields.get("lambda-runtime-trace-id")
    if trace:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    base = "/2018-06-01/runtime/invocation/" + _request_id
    content_type = "application/json"
    try:
        try:
            event = _from_json(body.decode("utf-8"))
        except Exception as error:
            raise _MarshalError("Unable to unmarshal input: %s" % error)
        result = handler(event, LambdaContext(fields))
        if type(result) is bytes:
            payload, content_type = result, "application/unknown"
        else:
            try:
                payload = _to_json(result)
            except Exception as error:
                raise _MarshalError("Unable to marshal response: %s" % error)
    except Exception as error:
        import json
        document = _error_document(error, _request_id)
        kind = "Runtime." + type(error).__name__
        if isinstance(error, _MarshalError):
            unmarshal = str(error).startswith("Unable to unmarshal")
            kind = document["errorType"] = "Runtime.UnmarshalError" if unmarshal else "Runtime.MarshalError"
            document["stackTrace"] = []
        _log_error(document)
        sys.stdout.flush()
        status, _, _ = connection.call("POST", base + "/error", json.dumps(document).encode("utf-8"),
                                       (("Lambda-Runtime-Function-Error-Type", kind),
                                        ("Content-Type", "application/json")))
        return
    sys.stdout.flush()
    sys.stderr.flush()
    connection.call("POST", base + "/response", payload, (("Content-Type", content_type),))


def _find_modules(task_root):
    """The zip first, then layers, as AWS orders them: those for the runtime that the function names, which may be another
    minor version than this one, too. AWS has them as site directories: what .pth files name is found as well."""
    from posix import listdir

    named = _environ.get("AWS_EXECUTION_ENV", "").rpartition("_")[2]
    versions = dict.fromkeys([named, "python%d.%d" % sys.version_info[:2]])
    folders = [task_root, *["/opt/python/lib/%s/site-packages" % each for each in versions if each], "/opt/python"]
    sys.path[0:0] = folders
    for folder in folders:
        try:
            if any(name.endswith(".pth") for name in listdir(folder)):
                import site
                site.addsitedir(folder)
        except OSError:
            pass


def _main():
    sys.stdout.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")
    sys.stderr.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")
    task_root = _environ.get("LAMBDA_TASK_ROOT", "/var/task")
    _find_modules(task_root)
    sys.meta_path.insert(0, _LoggingHook)
    connection = _Connection()
    try:
        handler = _load_handler()
    except _InitError as error:
        document = {"errorMessage": str(error), "errorType": error.kind, "requestId": "", "stackTrace": []}
        if error.kind == "Runtime.UserCodeSyntaxError" and error.cause is not None:
            document["stackTrace"] = ["  File \"%s\" Line %s\n    %s\n" % (
                error.cause.filename, error.cause.lineno, (error.cause.text or "").strip("\n"))]
        _fail_init(connection, error.kind, document)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        document = _error_document(error, "")
        _fail_init(connection, "Runtime." + type(error).__name__, document)
    while True:
        status, fields, body = connection.call("GET", "/2018-06-01/runtime/invocation/next")
        if status == 200:
            _run_event(connection, handler, fields, body)


# User code may import this module's name ("bootstrap"); it must not run the loop a second time.
if __name__ == "__main__":
    _main()
