"""Apache Kafka's own broker (KRaft, one node) on loopback, with four listeners: plain, SASL (a name and a password by
PLAIN or SCRAM-SHA-512), TLS that demands a client's certificate, and SASL over TLS."""
import glob
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from .authority import Authority
from .engine import eventually
from .installed import install

NAME, PASSWORD = "berth", "of-the-test"
START_SECONDS = 180
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{tls},SASL_SSL://127.0.0.1:{sasl_tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://localhost:{tls},SASL_SSL://localhost:{sasl_tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{name}="{password}";
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{name}="{password}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.both
ssl.truststore.type=PEM
ssl.truststore.location={folder}/authority.pem
listener.name.ssl.ssl.client.auth=required
log.dirs={folder}/data
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def install_kafka():
    """The folder with Kafka's jars, from Maven Central."""
    folder = install("kafka", "mvn", ["kafka/pom.xml"],
                     ["mvn", "-B", "-q", "dependency:copy-dependencies", "-DoutputDirectory=jars"])
    if not glob.glob(os.path.join(folder, "jars", "kafka_2.13-*.jar")):
        raise unittest.SkipTest("kafka: Maven has not brought the broker")
    return folder


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Broker:
    def __init__(self):
        java = shutil.which("java")
        if java is None:
            raise unittest.SkipTest("kafka: no java on this machine")
        jars = os.path.join(install_kafka(), "jars", "*")
        self.java = [java, "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
                     "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", jars]
        self.folder = tempfile.mkdtemp(prefix="bt.kafka.", dir="/tmp")
        self.log_path = os.path.join(self.folder, "log")
        self.process = None
        self.authority = Authority(self.folder)
        with open(os.path.join(self.folder, "broker.both"), "w") as file:
            certificate, key = self.authority.issue("broker", "DNS:localhost,IP:127.0.0.1")
            file.write(key + certificate)
        plain, sasl, tls, sasl_tls, controller = free_ports(5)
        self.address, self.sasl_address = f"127.0.0.1:{plain}", f"127.0.0.1:{sasl}"
        self.tls_address, self.sasl_tls_address = f"localhost:{tls}", f"localhost:{sasl_tls}"
        self.settings = os.path.join(self.folder, "server.properties")
        with open(self.settings, "w") as file:
            file.write(SETTINGS.format(plain=plain, sasl=sasl, tls=tls, sasl_tls=sasl_tls, controller=controller,
                                       folder=self.folder, name=NAME, password=PASSWORD))

    def start(self):
        done = subprocess.run([*self.java, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", self.settings,
                               "--add-scram", f"SCRAM-SHA-512=[name={NAME},password={PASSWORD}]"],
                              capture_output=True, text=True, timeout=START_SECONDS)
        assert done.returncode == 0, done.stdout + done.stderr
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([*self.java, "kafka.Kafka", self.settings], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        eventually(self._listens, f"the broker listens on {self.sasl_address}", START_SECONDS)
        return self

    def _listens(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the broker ended: {self.log()[-3000:]}")
        for address in (self.address, self.sasl_address, self.tls_address, self.sasl_tls_address):
            try:
                socket.create_connection(("127.0.0.1", int(address.split(":")[1])), timeout=1).close()
            except OSError:
                return False
        return True

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
