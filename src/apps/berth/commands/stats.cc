// stats: a live table of what containers use.
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/listing.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/commands/usage.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/filters.h"
#include "apps/berth/output/progress.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using client::Query;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using std::chrono::steady_clock;

constexpr auto refresh = std::chrono::milliseconds(500);
/// Without a sample for this long, a line shows dashes.
constexpr auto stale_after = std::chrono::seconds(3);

/// The stream of one container's samples.
struct Watched {
  std::string name;  ///< as asked for
  client::Pending stream;
  output::JsonCutter cutter = {};
  Usage usage = {};
  bool any = false;
  bool ended = false;
  steady_clock::time_point last = {};
};

class Board {
 public:
  Board(Context& context, const Invocation& invocation)
      : context_(context),
        stream_(!invocation.on("no-stream")),
        truncate_(!invocation.on("no-trunc")),
        all_(invocation.on("all")),
        follow_(invocation.arguments().empty()),
        names_(invocation.arguments()) {
    format_ = choose_format(
        context, invocation, "stats",
        {.table = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t"
                  "{{.BlockIO}}\t{{.PIDs}}"});
  }

  Outcome<int> run() {
    CHECK(make_listing());  // a bad template fails before anything else
    CHECK(context_.engine().negotiate());
    if (follow_) {
      if (stream_) CHECK(follow_events());
      CHECK(list());
    }
    for (const std::string& name : names_) CHECK(watch(name));
    CHECK(wait_for_first());
    CHECK(show());
    if (!stream_) return 0;
    auto next = steady_clock::now() + refresh;
    while (!finished()) {
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - steady_clock::now()).count();
      CHECK(step(static_cast<int>(std::max<int64_t>(left, 0))));
      if (steady_clock::now() < next) continue;
      next = steady_clock::now() + refresh;
      CHECK(show());
    }
    return 0;
  }

 private:
  bool finished() const {
    if (events_ != nullptr) return events_ended_;
    return std::all_of(watched_.begin(), watched_.end(), [](const Watched& one) { return one.ended; });
  }

  Outcome<void> list() {
    TRY(auto reply, context_.engine().call({.path = "/containers/json", .query = Query().flag("all", all_)}));
    TRY(Json containers, parse_json(reply.body, {.max_bytes = 256u << 20}));
    for (const Json& container : containers) names_.push_back(json_string(container, "Id").value_or(""));
    return {};
  }

  Outcome<void> follow_events() {
    std::string filters = options::filters_json({{"type", "container"}});
    TRY(auto events, context_.engine().begin({.path = "/events", .query = Query().add("filters", filters)}));
    events_ = std::make_unique<client::Pending>(std::move(events));
    CHECK(events_->wait_for_head());
    return {};
  }

  Outcome<void> watch(const std::string& name) {
    CHECK(check_name(name));
    for (const Watched& one : watched_) {
      if (one.name == name && !one.ended) return {};
    }
    TRY(auto stream, context_.engine().begin({.path = path_of("containers", name, "stats"),
                                              .query = Query().add("stream", stream_ ? "1" : "0")}));
    watched_.push_back({.name = name, .stream = std::move(stream)});
    return {};
  }

  Outcome<void> wait_for_first() {
    auto waiting = [&] {
      return std::any_of(watched_.begin(), watched_.end(),
                         [](const Watched& one) { return !one.any && !one.ended; });
    };
    while (waiting()) CHECK(step(-1));
    return {};
  }

  Outcome<void> step(int timeout_ms) {
    std::vector<pollfd> wait;
    for (const Watched& one : watched_) wait.push_back({one.ended ? -1 : one.stream.fd(), POLLIN, 0});
    wait.push_back({events_ != nullptr && !events_ended_ ? events_->fd() : -1, POLLIN, 0});
    if (::poll(wait.data(), wait.size(), timeout_ms) <= 0) return {};
    for (size_t i = 0; i + 1 < wait.size(); ++i) {
      if (wait[i].revents != 0) CHECK(take_sample(watched_[i]));
    }
    if (wait.back().revents != 0) CHECK(take_events());
    std::erase_if(watched_, [&](const Watched& one) { return follow_ && stream_ && one.ended; });
    return {};
  }

  Outcome<void> take_sample(Watched& one) {
    bool lost = !one.stream.advance();
    if (one.stream.head_done() && one.stream.head().status >= 400) {
      if (!one.stream.complete() && !lost) return {};
      one.ended = true;
      Failure failure = client::failure_of(one.stream.head(), one.stream.body(), one.name);
      // Among all containers one may just have gone; one that was asked for must be there.
      return follow_ ? Outcome<void>() : failure;
    }
    std::string body = std::exchange(one.stream.body(), {});
    CHECK(one.cutter.feed(body, [&](std::string_view text) -> Outcome<void> {
      TRY(Json sample, parse_json(text));
      one.usage = usage_of(sample);
      one.any = true;
      one.last = steady_clock::now();
      return {};
    }));
    if (one.stream.complete() || lost) one.ended = true;
    return {};
  }

  Outcome<void> take_events() {
    bool lost = !events_->advance();
    std::string body = std::exchange(events_->body(), {});
    CHECK(event_cutter_.feed(body, [&](std::string_view text) -> Outcome<void> {
      TRY(Json event, parse_json(text));
      std::string action = json_string(event, "Action").value_or("");
      std::string id = json_string(event.value("Actor", Json::object()), "ID").value_or("");
      if (id.empty()) return {};
      if (action == "start" || (all_ && action == "create")) return watch(id);
      if (action == "destroy" || (!all_ && action == "die")) {
        std::erase_if(watched_, [&](const Watched& one) { return one.name == id; });
      }
      return {};
    }));
    if (lost || events_->complete()) events_ended_ = true;
    return {};
  }

  Outcome<Listing> make_listing() {
    const Headings headings{{"Container", "CONTAINER"},
                            {"Name", "NAME"},
                            {"ID", "CONTAINER ID"},
                            {"CPUPerc", "CPU %"},
                            {"MemUsage", "MEM USAGE / LIMIT"},
                            {"MemPerc", "MEM %"},
                            {"NetIO", "NET I/O"},
                            {"BlockIO", "BLOCK I/O"},
                            {"PIDs", "PIDS"}};
    return Listing::create(format_, headings, "*container.statsContext");
  }

  RowFields row(const Watched& one) const {
    const Usage& usage = one.usage;
    bool known = one.any && (!stream_ || steady_clock::now() - one.last < stale_after);
    auto percent = [&](double value) { return known ? fmt::format("{:.2f}%", value) : std::string("--"); };
    auto pair = [&](const std::string& left, const std::string& right) {
      return fmt::format("{} / {}", left, right);
    };
    auto human = [](double bytes) { return output::human_size(bytes, 3); };
    std::string name = usage.name.starts_with('/') ? usage.name.substr(1) : usage.name;
    RowFields fields;
    fields.emplace_back("Container", one.name);
    fields.emplace_back("Name", name.empty() ? std::string("--") : name);
    fields.emplace_back("ID", truncate_ ? output::short_id(usage.id) : usage.id);
    fields.emplace_back("CPUPerc", percent(usage.cpu_percent));
    fields.emplace_back(
        "MemUsage", known ? pair(output::binary_size(usage.memory), output::binary_size(usage.memory_limit))
                          : std::string("-- / --"));
    fields.emplace_back("MemPerc", percent(usage.memory_percent));
    fields.emplace_back(
        "NetIO", known ? pair(human(usage.network_received), human(usage.network_sent)) : std::string("--"));
    fields.emplace_back("BlockIO", known ? pair(human(static_cast<double>(usage.block_read)),
                                                human(static_cast<double>(usage.block_written)))
                                         : std::string("--"));
    fields.emplace_back("PIDs", known ? fmt::format("{}", usage.processes) : std::string("--"));
    return fields;
  }

  Outcome<void> show() {
    TRY(Listing listing, make_listing());
    for (const Watched& one : watched_) CHECK(listing.add(row(one)));
    std::string text = listing.text();
    if (!stream_) {
      context_.out.write(text);
      return {};
    }
    // From the top, each line erased behind its end, then everything below: no flicker.
    std::string screen = "\x1b[H";
    for (std::string_view rest = text; !rest.empty();) {
      size_t end = std::min(rest.find('\n'), rest.size());
      screen += fmt::format("{}\x1b[K\n", rest.substr(0, end));
      rest.remove_prefix(std::min(rest.size(), end + 1));
    }
    context_.out.write(screen + "\x1b[J");
    context_.out.flush();
    return {};
  }

  Context& context_;
  bool stream_;
  bool truncate_;
  bool all_;
  bool follow_;  ///< no names were given: containers come and go
  std::vector<std::string> names_;
  std::string format_;
  std::vector<Watched> watched_;
  std::unique_ptr<client::Pending> events_;
  output::JsonCutter event_cutter_;
  bool events_ended_ = false;
};

Outcome<int> stats(Context& context, const Invocation& invocation) {
  return Board(context, invocation).run();
}

constexpr std::array flags{
    Flag{'a', "all", Type::Bool, "Show all containers, not only running ones"},
    Flag{.name = "format", .type = Type::String, .help = list_format_help},
    Flag{.name = "no-stream", .help = "Show one table and end"},
    Flag{.name = "no-trunc", .help = "Show ids in full"},
};

}  // namespace

const Command stats_command{.usage = "[OPTIONS] [CONTAINER...]",
                            .summary = "Show what containers use, live",
                            .flags = flags,
                            .arity = grammar::at_least(0),
                            .action = stats};

}  // namespace berth::cli::commands
