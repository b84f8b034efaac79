#include "functions/events/kafka_library.h"

#include <dlfcn.h>

#include "base/format.h"

namespace berth::functions::events {

Result<const KafkaLibrary*> KafkaLibrary::load() {
  static KafkaLibrary library;
  static bool loaded = false;
  if (loaded) return &library;
  void* handle = ::dlopen("librdkafka.so.1", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return failure(
        Kind::Unavailable,
        "Kafka needs librdkafka, which cannot be loaded ({}): install it (\"apt install librdkafka1\") and "
        "change the mapping or restart berthd",
        ::dlerror());
  }
#define BERTH_KAFKA_LOAD(name)                                                                 \
  library.name = reinterpret_cast<decltype(library.name)>(::dlsym(handle, "rd_kafka_" #name)); \
  if (library.name == nullptr)                                                                 \
    return Error(Kind::Unavailable, "librdkafka is too old: it lacks rd_kafka_" #name);
  BERTH_KAFKA_FUNCTIONS(BERTH_KAFKA_LOAD)
#undef BERTH_KAFKA_LOAD
  library.new_ = reinterpret_cast<decltype(library.new_)>(::dlsym(handle, "rd_kafka_new"));
  if (library.new_ == nullptr)
    return Error(Kind::Unavailable, "librdkafka is too old: it lacks rd_kafka_new");
  loaded = true;
  return &library;
}

}  // namespace berth::functions::events
