// logs.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/moment.h"
#include "apps/berth/terminal/frames.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

/// Writes what comes to stdout and stderr. Lines are written at once when following, else in large pieces.
class LogWriter {
 public:
  LogWriter(Context& context, bool tty, bool follow) : context_(context), tty_(tty), follow_(follow) {}

  Outcome<void> take(std::string_view bytes) {
    if (tty_) {
      context_.out.write(bytes);
    } else {
      CHECK(splitter_.feed(bytes, [this](auto stream, std::string_view payload) { write(stream, payload); }));
    }
    if (follow_) {
      context_.out.flush();
      context_.err.flush();
    }
    return {};
  }

  Outcome<void> finish() {
    if (!splitter_.engine_error().empty()) {
      return refuse("error from daemon in stream: {}", splitter_.engine_error());
    }
    return {};
  }

 private:
  void write(terminal::FrameSplitter::Stream stream, std::string_view payload) {
    bool error = stream == terminal::FrameSplitter::Stream::Stderr;
    // Keep the order of the two streams for whoever reads both.
    if (error != last_error_) (last_error_ ? context_.err : context_.out).flush();
    last_error_ = error;
    (error ? context_.err : context_.out).write(payload);
  }

  Context& context_;
  bool tty_;
  bool follow_;
  bool last_error_ = false;
  terminal::FrameSplitter splitter_;
};

Outcome<int> logs(Context& context, const Invocation& invocation) {
  const std::string& name = invocation.argument(0);
  CHECK(check_name(name));
  client::Query query;
  query.add("stdout", "1").add("stderr", "1");
  Timestamp time = now();
  for (std::string_view flag : {"since", "until"}) {
    auto moment = options::api_time(invocation.text(flag), time);
    if (!moment) return refuse("invalid value for \"{}\": {}", flag, moment.error().message());
    query.add_unless_empty(flag, *moment);
  }
  bool follow = invocation.on("follow");
  query.flag("timestamps", invocation.on("timestamps")).flag("details", invocation.on("details"));
  query.flag("follow", follow).add("tail", invocation.text("tail"));

  TRY(auto inspected, context.engine().call({.path = path_of("containers", name, "json")}));
  TRY(Json container, parse_json(inspected.body));
  bool tty = container.contains("Config") && json_bool(container["Config"], "Tty").value_or(false);
  LogWriter writer(context, tty, follow);
  CHECK(context.engine().stream({.path = path_of("containers", name, "logs"), .query = query},
                                [&](std::string_view bytes) { return writer.take(bytes); }));
  CHECK(writer.finish());
  return 0;
}

constexpr std::array flags{
    Flag{.name = "details", .help = "Show the attributes of log lines"},
    Flag{'f', "follow", Type::Bool, "Go on with new lines as they come"},
    Flag{.name = "since",
         .type = Type::String,
         .help = "Show lines from this time on (\"2026-01-02T13:23:37Z\" or \"42m\" for 42 minutes ago)"},
    Flag{'n', "tail", Type::String, "Number of lines to show from the end", "all"},
    Flag{'t', "timestamps", Type::Bool, "Put the time before each line"},
    Flag{.name = "until",
         .type = Type::String,
         .help = "Show lines before this time (\"2026-01-02T13:23:37Z\" or \"42m\" for 42 minutes ago)"},
};

}  // namespace

const Command logs_command{.usage = "[OPTIONS] CONTAINER",
                           .summary = "Show what a container has written",
                           .flags = flags,
                           .arity = grammar::exactly(1),
                           .action = logs};

}  // namespace berth::cli::commands
