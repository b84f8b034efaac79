"""Answers held against the service model that AWS's clients are made of: members, types, enumerations, statuses and the
codes of errors. botocore leaves out what it does not know; this does not."""
import datetime
import json
import re
import xml.etree.ElementTree as ElementTree

# What AWS has added since the botocore of Debian 12: unknown to that one, known to today's.
NEWER = {
    "LoggingConfig", "RuntimeVersionConfig", "EventSourceMappingArn", "InvokeMode", "ResolvedS3Object", "logGroupClass",
    "logGroupArn", "FilterCriteriaError", "deletionProtectionEnabled", "SequenceNumber", "ChecksumType",
    "ConfigSha256",
}
# Members that the model requires and AWS leaves out: of a function without a configuration, of a batch all of which went well.
LEFT_OUT = {"GetFunctionCodeSigningConfig.CodeSigningConfigArn", "SendMessageBatch.Failed"}
# What AWS answers although its model has no such value, in recordings of it.
AS_RECORDED = {"LastUpdateStatusReasonCode": "Creating"}
# Statuses that differ from one version of the model to the next.
EITHER_STATUS = {"DeleteFunction"}


class Model:
    """Watches a client of boto3; `faults` says what no model has."""

    def __init__(self):
        self.faults = []
        self.operations = set()

    def watch(self, client):
        client.meta.events.register("before-parse", self._answer)
        return client

    def _answer(self, operation_model, response_dict, **_):
        where = f"{operation_model.service_model.service_name} {operation_model.name}"
        self.operations.add(where)
        status, body = response_dict["status_code"], response_dict["body"]
        if status >= 300:
            self._error(where, operation_model, response_dict)
            return
        wanted = operation_model.http.get("responseCode")
        if wanted and status != wanted and operation_model.name not in EITHER_STATUS and not operation_model.has_streaming_output:
            self.faults.append(f"{where}: status {status}, not {wanted}")
        shape = operation_model.output_shape
        if shape is None or operation_model.has_streaming_output or operation_model.has_event_stream_output:
            return
        protocol = operation_model.metadata["protocol"]
        if protocol in ("json", "rest-json"):
            self._value(where, shape, json.loads(body) if body else {})
        elif body:
            self._document(where, shape, ElementTree.fromstring(body))

    def _error(self, where, operation_model, response_dict):
        headers, body = response_dict["headers"], response_dict["body"]
        code = headers.get("x-amzn-errortype", "")
        if not code and body[:1] == b"{":
            code = json.loads(body).get("__type", "")
        elif not code:
            found = re.search(rb"<Code>([^<]*)</Code>", body)
            code = found.group(1).decode() if found else ""
        shape = next((shape for shape in operation_model.service_model.error_shapes
                      if code in (shape.name, shape.metadata.get("error", {}).get("code"))), None)
        if not code:
            self.faults.append(f"{where}: an error without a code: {response_dict['status_code']} {body[:200]}")
        elif shape is not None and body[:1] == b"{":
            # Services of the JSON protocol all have a "message", whose shape often says nothing of it.
            silent = () if any(name.lower() == "message" for name in shape.members) else ("message",)
            self._value(f"{where} {code}", shape,
                        {name: value for name, value in json.loads(body).items() if name not in ("__type", *silent)})

    def _document(self, where, shape, element):
        """XML: the names alone; what is in them botocore turns into the types, or fails."""
        name = re.sub(r"^\{.*\}", "", element.tag)
        result = next((child for child in element if re.sub(r"^\{.*\}", "", child.tag).endswith("Result")), element)
        known = {member.serialization.get("name", key) for key, member in shape.members.items()}
        known |= {member.serialization.get("name", "") for member in shape.members.values()} | {"ResponseMetadata"}
        payload = shape.serialization.get("payload")
        if payload and shape.members[payload].type_name == "structure":
            known |= {member.serialization.get("name", key) for key, member in shape.members[payload].members.items()}
        for child in result:
            tag = re.sub(r"^\{.*\}", "", child.tag)
            if tag not in known and tag not in NEWER:
                self.faults.append(f"{where}: <{name}> has <{tag}>, which the model does not know")

    def _value(self, where, shape, value):
        check = {"structure": self._structure, "list": self._list, "map": self._map, "string": self._string}.get(shape.type_name)
        if check:
            check(where, shape, value)
            return
        kinds = {"integer": int, "long": int, "float": (int, float), "double": (int, float), "boolean": bool, "blob": str,
                 "timestamp": (int, float, str)}
        if not isinstance(value, kinds[shape.type_name]) or (shape.type_name != "boolean" and isinstance(value, bool)):
            self.faults.append(f"{where}: {value!r} is no {shape.type_name}")
        elif shape.type_name == "timestamp" and isinstance(value, str):
            try:
                datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
            except ValueError:
                self.faults.append(f"{where}: {value!r} is no time")
        elif isinstance(value, int) and not self._within(shape, value):
            self.faults.append(f"{where}: {value} is not within {shape.metadata}")

    @staticmethod
    def _within(shape, size):
        return shape.metadata.get("min", size) <= size <= shape.metadata.get("max", size)

    def _structure(self, where, shape, value):
        if not isinstance(value, dict):
            self.faults.append(f"{where}: {value!r} is no object")
            return
        wire = {member.serialization.get("name", key): (key, member) for key, member in shape.members.items()
                if member.serialization.get("location") not in ("header", "headers", "statusCode")}
        for name, member in value.items():
            if member is None:
                self.faults.append(f"{where}.{name} is null")
            elif name in wire:
                self._value(f"{where}.{name}", wire[name][1], member)
            elif name not in NEWER:
                self.faults.append(f"{where}.{name} is unknown to the model")
        for name in shape.required_members:
            wire_name = shape.members[name].serialization.get("name", name)
            if wire_name in wire and wire_name not in value and not f"{where}.{name}".endswith(tuple(LEFT_OUT)):
                self.faults.append(f"{where}.{name} is required")

    def _list(self, where, shape, value):
        if not isinstance(value, list):
            self.faults.append(f"{where}: {value!r} is no list")
            return
        for member in value:
            self._value(f"{where}[]", shape.member, member)

    def _map(self, where, shape, value):
        if not isinstance(value, dict):
            self.faults.append(f"{where}: {value!r} is no object")
            return
        for name, member in value.items():
            self._string(f"{where} key", shape.key, name)
            self._value(f"{where}.{name}", shape.value, member)

    def _string(self, where, shape, value):
        if not isinstance(value, str):
            self.faults.append(f"{where}: {value!r} is no text")
        elif shape.enum and value not in shape.enum and AS_RECORDED.get(where.rsplit(".", 1)[-1]) != value:
            self.faults.append(f"{where}: {value!r} is none of {shape.enum}")
        elif not self._within(shape, len(value)):
            self.faults.append(f"{where}: {value!r} has a length that is not within {shape.metadata}")
