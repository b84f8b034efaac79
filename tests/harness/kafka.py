"""A Kafka broker for tests: librdkafka's mock cluster, which speaks the real protocol on a real port, and a producer.
An address (or KAFKA_BROKER=HOST:PORT) means a real broker instead."""
import ctypes
import os

OK = 0
COPY = 2  # RD_KAFKA_MSG_F_COPY
PRODUCER = 0


def library():
    """librdkafka, or None."""
    try:
        loaded = ctypes.CDLL("librdkafka.so.1")
    except OSError:
        return None
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new", "rd_kafka_topic_new"):
        getattr(loaded, name).restype = ctypes.c_void_p
    loaded.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return loaded


class Kafka:
    def __init__(self, address=None):
        self.library = library()
        self.cluster = None
        address = address or os.environ.get("KAFKA_BROKER")
        self.handle = self._producer(address)
        if address is None:
            self.cluster = self.library.rd_kafka_mock_cluster_new(ctypes.c_void_p(self.handle), 1)
            address = self.library.rd_kafka_mock_cluster_bootstraps(ctypes.c_void_p(self.cluster)).decode()
            self.mock, self.handle = self.handle, self._producer(address)
        self.address = address

    def _producer(self, address):
        error = ctypes.create_string_buffer(512)
        settings = self.library.rd_kafka_conf_new()
        for name, value in (("bootstrap.servers", address), ("linger.ms", "0")):
            if value is not None:
                done = self.library.rd_kafka_conf_set(ctypes.c_void_p(settings), name.encode(), value.encode(), error, 512)
                assert done == OK, error.value
        handle = self.library.rd_kafka_new(PRODUCER, ctypes.c_void_p(settings), error, 512)
        assert handle, error.value
        return handle

    def topic(self, name, partitions=1):
        if self.cluster is not None:
            done = self.library.rd_kafka_mock_topic_create(ctypes.c_void_p(self.cluster), name.encode(), partitions, 1)
            assert done == OK, done

    def produce(self, topic, values, partition=0):
        """All of them are with the broker when this returns."""
        handle = self.library.rd_kafka_topic_new(ctypes.c_void_p(self.handle), topic.encode(), None)
        for value in values:
            data = value.encode()
            done = self.library.rd_kafka_produce(ctypes.c_void_p(handle), partition, COPY, data,
                                                 ctypes.c_size_t(len(data)), b"k", ctypes.c_size_t(1), None)
            assert done == OK, done
        assert self.library.rd_kafka_flush(ctypes.c_void_p(self.handle), 30_000) == OK, "not delivered"
        self.library.rd_kafka_topic_destroy(ctypes.c_void_p(handle))

    def close(self):
        self.library.rd_kafka_destroy(ctypes.c_void_p(self.handle))
        if self.cluster is not None:
            self.library.rd_kafka_mock_cluster_destroy(ctypes.c_void_p(self.cluster))
            self.library.rd_kafka_destroy(ctypes.c_void_p(self.mock))
