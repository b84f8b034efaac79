#include "functions/events/event_services.h"

#include "base/log.h"
#include "storage/database.h"
#include "storage/group_commit.h"

namespace berth::functions::events {

EventServices::EventServices(io::EventLoop& loop, Catalog& catalog, Invoker& invoker, LimitProfile profile)
    : loop_(loop), catalog_(catalog), durable_invoker_(invoker, profile) {}
EventServices::~EventServices() = default;

Result<std::unique_ptr<EventServices>> EventServices::open(io::EventLoop& loop, const std::string& directory,
                                                           Catalog& catalog, Invoker& invoker,
                                                           LimitProfile profile) {
  std::unique_ptr<EventServices> services(new EventServices(loop, catalog, invoker, profile));
  TRY(services->database_, storage::Database::open(directory + "/queue.db", {.cache_kibibytes = 1024}));
  // What has been answered must be on the disk: the one database whose commits wait for it.
  CHECK(services->database_->execute("PRAGMA synchronous=FULL"));
  storage::Database& database = *services->database_;
  services->commits_ = std::make_unique<storage::GroupCommit>(loop, database);
  TRY(services->queues_, queues::Queues::open(loop, database, *services->commits_));
  auto find = [&catalog](const Realm& realm, const std::string& function, const std::string& qualifier) {
    return catalog.resolve(realm, function, qualifier);
  };
  TRY(services->executions_,
      durable::DurableExecutions::open(loop, database, *services->commits_, find, invoker, *services->queues_,
                                       {.profile = profile}));
  services->durable_invoker_.set_executions(*services->executions_);
  TRY(services->events_, EventQueue::open(loop, database, *services->commits_, addressee_from(catalog),
                                          services->durable_invoker_, *services->queues_));
  TRY(services->rules_,
      Rules::open(loop, database, *services->commits_, *services->events_, *services->queues_));
  return services;
}

void EventServices::start() {
  if (sources_) return;
  executions_->start();
  events_->start();
  sources_ = std::make_unique<EventSources>(PollerServices{loop_, catalog_, durable_invoker_, *queues_});
}

void EventServices::stop() {
  if (sources_) sources_->stop();
  events_->stop();
  executions_->stop();
}

void EventServices::function_removed(const Realm& realm, const std::string& function) {
  auto forget = [](EventServices& all, Realm where, std::string name) -> io::Task<void> {
    auto ended = co_await all.executions_->function_removed(where, name);
    if (!ended) log::warn("durable executions of {}: {}", name, ended.error().message());
    auto forgotten = co_await all.events_->forget(std::move(where), name);
    if (!forgotten) log::warn("events of {}: {}", name, forgotten.error().message());
  };
  tasks_.spawn(forget(*this, realm, function));
}

}  // namespace berth::functions::events
