// KafkaLibrary: librdkafka, loaded when the first Kafka mapping is made, so that a berthd without one neither
// needs nor loads it. Only the functions that the poller uses.
#pragma once

#include <librdkafka/rdkafka.h>

#include "base/result.h"

namespace berth::functions::events {

// Name by name, so that each has the header's own type. (clang-format would shift the lines each time anew.)
// clang-format off
#define BERTH_KAFKA_FUNCTIONS(F) \
  F(conf_new) \
  F(conf_set) \
  F(conf_destroy) \
  F(conf_set_error_cb) \
  F(conf_set_opaque) \
  F(poll_set_consumer) \
  F(subscribe) \
  F(consumer_poll) \
  F(consumer_close) \
  F(destroy) \
  F(commit) \
  F(message_destroy) \
  F(message_timestamp) \
  F(message_headers) \
  F(header_get_all) \
  F(topic_name) \
  F(topic_partition_list_new) \
  F(topic_partition_list_add) \
  F(topic_partition_list_destroy) \
  F(queue_get_consumer) \
  F(queue_io_event_enable) \
  F(queue_destroy) \
  F(err2str)
// clang-format on

struct KafkaLibrary {
#define BERTH_KAFKA_MEMBER(name) decltype(&rd_kafka_##name) name = nullptr;
  BERTH_KAFKA_FUNCTIONS(BERTH_KAFKA_MEMBER)
#undef BERTH_KAFKA_MEMBER
  decltype(&rd_kafka_new) new_ = nullptr;

  /// Once per process. Unavailable: it is not installed ("apt install librdkafka1").
  static Result<const KafkaLibrary*> load();
};

}  // namespace berth::functions::events
