#include "functions/events/event_services.h"

#include "base/log.h"
#include "storage/database.h"
#include "storage/group_commit.h"

namespace berth::functions::events {

EventServices::EventServices(io::EventLoop& loop, Catalog& catalog, Invoker& invoker)
    : loop_(loop), catalog_(catalog), invoker_(invoker) {}
EventServices::~EventServices() = default;

Result<std::unique_ptr<EventServices>> EventServices::open(io::EventLoop& loop, const std::string& directory,
                                                           Catalog& catalog, Invoker& invoker) {
  std::unique_ptr<EventServices> services(new EventServices(loop, catalog, invoker));
  TRY(services->database_, storage::Database::open(directory + "/queue.db", {.cache_kibibytes = 1024}));
  // What has been answered must be on the disk: the one database whose commits wait for it.
  CHECK(services->database_->execute("PRAGMA synchronous=FULL"));
  storage::Database& database = *services->database_;
  services->commits_ = std::make_unique<storage::GroupCommit>(loop, database);
  TRY(services->queues_, queues::Queues::open(loop, database, *services->commits_));
  TRY(services->events_, EventQueue::open(loop, database, *services->commits_, addressee_from(catalog),
                                          invoker, *services->queues_));
  TRY(services->rules_,
      Rules::open(loop, database, *services->commits_, *services->events_, *services->queues_));
  return services;
}

void EventServices::start() {
  if (sources_) return;
  events_->start();
  sources_ = std::make_unique<EventSources>(PollerServices{loop_, catalog_, invoker_, *queues_});
}

void EventServices::stop() {
  if (sources_) sources_->stop();
  events_->stop();
}

void EventServices::function_removed(const Realm& realm, const std::string& function) {
  auto forget = [](EventQueue& events, Realm where, std::string name) -> io::Task<void> {
    auto forgotten = co_await events.forget(std::move(where), name);
    if (!forgotten) log::warn("events of {}: {}", name, forgotten.error().message());
  };
  tasks_.spawn(forget(*events_, realm, function));
}

}  // namespace berth::functions::events
