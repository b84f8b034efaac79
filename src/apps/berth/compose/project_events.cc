#include "apps/berth/compose/project_events.h"

#include <charconv>

#include "apps/berth/compose/request.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;

int64_t number_of(const std::string& text) {
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

ContainerEvent event_of(const Json& json) {
  ContainerEvent event{.action = json_string(json, "Action").value_or("")};
  const Json* actor = json_member(json, "Actor");
  if (actor == nullptr) return event;
  event.id = json_string(*actor, "ID").value_or("");
  const Json* attributes = json_member(*actor, "Attributes");
  if (attributes == nullptr) return event;
  auto attribute = [&](std::string_view key) { return json_string(*attributes, key).value_or(""); };
  event.name = attribute("name");
  event.service = attribute(label_service);
  event.number = number_of(attribute(label_number));
  event.one_off = attribute(label_one_off) == "True";
  event.exit_code = static_cast<int>(number_of(attribute("exitCode")));
  return event;
}

}  // namespace

Observed ContainerEvent::container() const {
  return {.id = id, .name = name, .service = service, .number = number, .one_off = one_off};
}

Outcome<ProjectEvents> ProjectEvents::open(Session& session, const std::vector<std::string>& actions) {
  Query query;
  query.add("filters", to_json(Json{{"type", {"container"}},
                                    {"event", actions},
                                    {"label", {fmt::format("{}={}", label_project, session.project.name)}}}));
  auto engine = session.client();
  TRY(auto answer, engine->open_answer({.path = "/events", .query = query}));
  return ProjectEvents(std::move(answer));
}

Outcome<std::vector<ContainerEvent>> ProjectEvents::next() {
  std::vector<ContainerEvent> events;
  while (events.empty()) {
    TRY(std::string_view piece, answer_.next());
    if (piece.empty()) return Failure::plain("the engine went away");
    CHECK(cutter_.feed(piece, [&](std::string_view text) -> Outcome<void> {
      TRY(const Json json, parse_json(text));
      events.push_back(event_of(json));
      return {};
    }));
  }
  return events;
}

EndState end_state(client::Client& engine, const std::string& id) {
  EndState end;
  const auto json = call_json(engine, "GET", path_of("containers", id, "json"));
  const Json* state = json ? json_member(*json, "State") : nullptr;
  if (state == nullptr) return end;
  // While the engine restarts a container it may call it running throughout.
  end.goes_on =
      json_bool(*state, "Restarting").value_or(false) || json_bool(*state, "Running").value_or(false);
  end.exit_code = json_int(*state, "ExitCode").value_or(0);
  end.started = json_string(*state, "StartedAt").value_or("");
  end.finished = json_string(*state, "FinishedAt").value_or("");
  return end;
}

}  // namespace berth::cli::compose
