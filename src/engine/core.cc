// What use cases share.
#include "engine/core.h"

#include "base/log.h"
#include "engine/image_quota.h"
#include "engine/sandbox_table.h"

namespace berth::engine {

Core::Core(io::EventLoop& event_loop, EngineOptions given) : loop(event_loop), options(std::move(given)) {}
Core::~Core() = default;

std::string Core::container_dir(std::string_view id) const {
  return options.data_root + "/containers/" + std::string(id);
}

std::string Core::exec_dir(std::string_view id) const {
  return options.exec_root + "/containers/" + std::string(id);
}

void Core::save_state(const ContainerRecord& record) {
  if (SandboxTable::of(*this).find(record.id) != nullptr) return;
  if (auto saved = records->save_state(record); !saved) {
    log::error("container {}: state not saved: {}", record.short_id(), saved.error().message());
  }
}

void Core::save_definition(const ContainerRecord& record) {
  if (SandboxTable::of(*this).find(record.id) != nullptr) return;
  if (auto saved = records->save_definition(record); !saved) {
    log::error("container {}: configuration not saved: {}", record.short_id(), saved.error().message());
  }
}

void Core::publish(const ContainerRecord& record, std::string action,
                   std::map<std::string, std::string> more) {
  more["image"] = record.config.image;
  more["name"] = record.name;
  // A label never hides what berth says.
  more.insert(record.config.labels.begin(), record.config.labels.end());
  events.publish("container", std::move(action), record.id, std::move(more));
}

}  // namespace berth::engine
