// events.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/listing.h"
#include "apps/berth/gotemplate/document.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/filters.h"
#include "apps/berth/options/moment.h"
#include "apps/berth/output/progress.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using gotemplate::Object;
using gotemplate::Shape;
using gotemplate::Value;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

/// An event without contents: a template that asks for an unknown field fails before the first event comes.
constexpr std::string_view empty_event =
    R"({"status":"","id":"","from":"","Type":"","Action":"","Actor":{"ID":"","Attributes":{}},"scope":"","time":0,"timeNano":0})";

/// Go's struct has Status, ID, From, Scope, Time, TimeNano for what JSON calls status, id, ...
Outcome<Value> event_value(std::string_view json) {
  TRY(Value document, gotemplate::parse_document(json, gotemplate::Typing::Typed));
  if (document.object() == nullptr) return refuse("an event is not a JSON object");
  return document;
}

/// Fields under the names that templates use.
Value for_fields(const Value& event) {
  constexpr std::array names{std::pair{"status", "Status"}, std::pair{"id", "ID"},
                             std::pair{"from", "From"},     std::pair{"scope", "Scope"},
                             std::pair{"time", "Time"},     std::pair{"timeNano", "TimeNano"}};
  Object renamed = *event.object();
  renamed.type_name = "*events.Message";
  for (auto [json_name, go_name] : names) {
    const Value* known = gotemplate::find(renamed, json_name);
    Value value = known != nullptr ? *known : Value("");
    renamed.fields.emplace_back(go_name, std::move(value));
  }
  return renamed;
}

/// {{json .}} prints what the engine sent; fields are found under Go's names.
Outcome<std::string> formatted(const gotemplate::Template& format, std::string_view json, bool whole) {
  TRY(Value event, event_value(json));
  if (whole) return gotemplate::to_json(event);
  std::string text;
  if (auto done = format.execute(text, for_fields(event)); !done) return refuse("{}", done.error().message());
  return text;
}

Outcome<std::string> readable(std::string_view json) {
  TRY(Json event, parse_json(json));
  std::string line;
  int64_t nanoseconds = json_int(event, "timeNano").value_or(0);
  if (nanoseconds == 0) nanoseconds = json_int(event, "time").value_or(0) * 1'000'000'000;
  if (nanoseconds != 0) line = output::local_rfc3339(from_unix_nanoseconds(nanoseconds)) + " ";
  Json actor = event.value("Actor", Json::object());
  line += fmt::format("{} {} {}", json_string(event, "Type").value_or(""),
                      json_string(event, "Action").value_or(""), json_string(actor, "ID").value_or(""));
  std::vector<std::string> attributes;
  for (const auto& [name, value] :
       json_string_map(actor, "Attributes").value_or(std::map<std::string, std::string>())) {
    attributes.push_back(fmt::format("{}={}", name, value));
  }
  if (!attributes.empty()) line += fmt::format(" ({})", fmt::join(attributes, ", "));
  return output::printable(line);
}

Outcome<int> events(Context& context, const Invocation& invocation) {
  std::string format = invocation.text("format");
  if (format == "json") format = "{{json .}}";
  auto parsed = gotemplate::Template::parse(format);
  if (!parsed) return Failure::client(fmt::format("Error parsing format: {}", parsed.error().message()), 64);
  bool whole = format == "{{json .}}";
  if (auto trial = formatted(*parsed, empty_event, whole); !trial) {
    return Failure::client(fmt::format("Error parsing format: {}", trial.error().message), 64);
  }
  client::Query query;
  Timestamp time = now();
  for (std::string_view name : {"since", "until"}) {
    TRY(std::string moment, options::api_time(invocation.text(name), time));
    query.add_unless_empty(name, moment);
  }
  query.add_unless_empty("filters", options::filters_json(options::parse_filters(invocation.list("filter"))));

  output::JsonCutter cutter;
  auto show = [&](std::string_view json) -> Outcome<void> {
    TRY(std::string line, format.empty() ? readable(json) : formatted(*parsed, json, whole));
    context.out.line(line);
    return {};
  };
  CHECK(context.engine().stream({.path = "/events", .query = query},
                                [&](std::string_view bytes) -> Outcome<void> {
                                  CHECK(cutter.feed(bytes, show));
                                  context.out.flush();
                                  return {};
                                }));
  return 0;
}

constexpr std::array flags{
    Flag{'f', "filter", Type::Filter, "Show only events that meet the condition"},
    Flag{.name = "format", .type = Type::String, .help = inspect_format_help},
    Flag{.name = "since", .type = Type::String, .help = "Show events from this time on"},
    Flag{.name = "until", .type = Type::String, .help = "End at this time"},
};

}  // namespace

const Command events_command{.usage = "[OPTIONS]",
                             .summary = "Show what happens in the engine, as it happens",
                             .flags = flags,
                             .action = events};

}  // namespace berth::cli::commands
