// Single steps backwards: stopping and removing; and what ends a convergence: everything kept, or put back as
// it was.
#include "apps/berth/compose/converge.h"
#include "apps/berth/compose/hooks.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;

}  // namespace

Outcome<void> stop_container(Session& session, client::Client& engine, const Observed& container,
                             std::optional<int64_t> timeout) {
  if (!container.running()) return {};
  if (container.state == "running") {
    auto prepared = run_hooks(session, engine, container, "pre_stop");
    // It may have ended by itself meanwhile.
    if (!prepared && !prepared.error().not_found() && prepared.error().http_status != 409)
      return prepared.error();
  }
  session.report.tell("Container", container.name, "Stopping");
  Query query;
  if (timeout) query.add("t", fmt::format("{}", *timeout));
  auto stopped = call(engine, "POST", path_of("containers", container.id, "stop"), std::move(query));
  if (!stopped && !stopped.error().not_found()) return stopped.error();
  session.report.tell("Container", container.name, "Stopped");
  return {};
}

Outcome<void> remove_container(Session& session, client::Client& engine, const Observed& container,
                               bool volumes) {
  Query query;
  query.flag("force", true).flag("v", volumes);
  session.report.tell("Container", container.name, "Removing");
  auto removed = call(engine, "DELETE", path_of("containers", container.id), std::move(query));
  if (!removed && !removed.error().not_found()) return removed.error();
  session.report.tell("Container", container.name, "Removed");
  return {};
}

void Converger::note(Done done) {
  std::lock_guard lock(mutex_);
  done_.push_back(std::move(done));
}

/// What was made goes first, so that names are free; then what was set aside takes its name and its life
/// back.
void Converger::undo() {
  auto engine = session_.client();
  session_.report.warn("up failed: putting everything back as it was");
  auto attempt = [&](std::string_view method, std::string path, const std::string& name, Query query = {}) {
    auto outcome = call(*engine, method, std::move(path), std::move(query));
    if (!outcome && !outcome.error().not_found())
      session_.report.warn(fmt::format("{}: {}", name, outcome.error().text()));
  };
  std::set<std::string> made;
  for (auto done = done_.rbegin(); done != done_.rend(); ++done) {
    if (done->what != Done::What::Created) continue;
    made.insert(done->id);
    attempt("DELETE", path_of("containers", done->id), done->name, std::move(Query().flag("force", true)));
    session_.report.tell("Container", done->name, "Removed");
  }
  for (const Done& done : done_) {
    if (done.what == Done::What::SetAside) {
      attempt("POST", path_of("containers", done.id, "rename"), done.name,
              std::move(Query().add("name", done.name)));
      if (done.was_running) attempt("POST", path_of("containers", done.id, "start"), done.name);
      session_.report.tell("Container", done.name, "Restored");
    } else if (done.what == Done::What::Started && !made.contains(done.id)) {
      attempt("POST", path_of("containers", done.id, "stop"), done.name);
    } else if (done.what == Done::What::Stopped) {
      attempt("POST", path_of("containers", done.id, "start"), done.name);
    }
  }
  for (auto done = done_.rbegin(); done != done_.rend(); ++done) {
    if (done->what == Done::What::NetworkMade) attempt("DELETE", path_of("networks", done->name), done->name);
    if (done->what == Done::What::VolumeMade) attempt("DELETE", path_of("volumes", done->name), done->name);
  }
}

Outcome<void> Converger::commit() {
  if (!options_.rollback) return {};
  auto engine = session_.client();
  for (const Done& done : done_) {
    if (done.what != Done::What::SetAside) continue;
    auto removed =
        call(*engine, "DELETE", path_of("containers", done.id), std::move(Query().flag("force", true)));
    if (!removed && !removed.error().not_found()) return removed.error();
  }
  return {};
}

}  // namespace berth::cli::compose
