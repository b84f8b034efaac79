// run: create, attach, start, and stay until the container ends.
#include <unistd.h>

#include <array>
#include <cctype>

#include "apps/berth/client/function_client.h"
#include "apps/berth/commands/attaching.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/creating.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/container_flags.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::path_of;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using terminal::Signals;

Outcome<void> start(Context& context, const std::string& id) {
  CHECK(context.engine().call({.method = "POST", .path = path_of("containers", id, "start")}));
  return {};
}

Outcome<int> run_detached(Context& context, const std::string& id) {
  context.out.line(id);
  context.out.flush();
  auto started = start(context, id);
  if (!started) return with_hint(started.error(), "run");
  return 0;
}

Outcome<int> run_attached(Context& context, const Invocation& invocation,
                          const options::ContainerConfig& config, const std::string& id) {
  bool window = config.tty && terminal::is_terminal(STDOUT_FILENO);
  bool proxy = invocation.on("sig-proxy");
  TRY(Signals signals, Signals::block(proxy        ? Signals::Take::Everything
                                      : config.tty ? Signals::Take::Endings
                                                   : Signals::Take::Nothing,
                                      window));
  Attach attach{.container = id,
                .tty = config.tty,
                .attach_stdin = config.attach_stdin,
                .attach_stdout = config.attach_stdout,
                .attach_stderr = config.attach_stderr,
                .detach_keys = detach_keys(context, invocation.text("detach-keys"))};
  TRY(auto session, session_options(context, attach, proxy));
  // Both are on their way at once, and both are known to the engine before the container starts.
  TRY(client::Pending wait, begin_wait(context, id, config.auto_remove ? "removed" : "next-exit"));
  TRY(client::Upgraded stream, attach_stream(context, attach));
  CHECK(wait.wait_for_head());
  if (auto started = start(context, id); !started) {
    if (config.auto_remove) (void)wait.wait();
    return with_hint(started.error(), "run");
  }
  // Engines since API 1.42 know the size from the moment of creation.
  if (window && !context.engine().speaks("1.42"))
    resize_container(context, id, terminal::size_of(STDOUT_FILENO));
  TRY(auto end, terminal::run_session(std::move(stream), session, signals, &wait));
  if (end == terminal::SessionEnd::Detached) return 0;
  return exit_code_of(context, id, wait);
}

/// An image of a function's runtime, layers and code in place of its name, NAME or NAME:QUALIFIER.
Outcome<void> use_function(Context& context, const Invocation& invocation, options::ContainerConfig& config) {
  TRY(Json body, parse_json(config.body));
  const Json* command = json_member(body, "Cmd");
  if (command == nullptr || command->empty()) {
    return refuse(
        "--function {}: say what to run, such as \"python3 app.py\": the package's own program waits for "
        "events, which "
        "a container does not get",
        config.image);
  }
  size_t colon = config.image.find(':');
  std::string name = config.image.substr(0, colon);
  std::string qualifier = colon == std::string::npos ? std::string() : config.image.substr(colon + 1);
  std::string tag = qualifier.empty() ? name : fmt::format("{}-{}", name, qualifier);
  for (char& c : tag) {
    bool fits = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
    if (!fits) c = '-';
  }
  std::string image = fmt::format("berth/function:{}", tag);
  Json wanted{{"FunctionName", name}, {"Tag", image}};
  if (!qualifier.empty()) wanted["Qualifier"] = qualifier;
  client::FunctionClient functions(context);
  CHECK(functions.json({.method = "POST", .path = "/_berth/package/image", .body = to_json(wanted)}));
  body["Image"] = config.image = image;
  // Not the image's, which is the runtime's client.
  if (!invocation.given("entrypoint")) body["Entrypoint"] = Json::array({""});
  config.body = to_json(body);
  return {};
}

Outcome<int> run(Context& context, const Invocation& invocation) {
  bool detach = invocation.on("detach");
  auto settings = config_context(context, invocation);
  settings.detach = detach;
  auto config = options::container_config(invocation, settings);
  if (!config) return with_hint(config.error(), "run");
  if (invocation.on("function")) CHECK(use_function(context, invocation, *config));
  if (detach && !invocation.list("attach").empty()) {
    return refuse("conflicting options: cannot specify both --attach and --detach");
  }
  if (!detach) CHECK(terminal::check_tty(config->attach_stdin, config->tty));
  auto id = create_container(context, invocation, *config);
  if (!id) return with_hint(id.error(), "run");
  bool attached = config->attach_stdin || config->attach_stdout || config->attach_stderr;
  return attached ? run_attached(context, invocation, *config, *id) : run_detached(context, *id);
}

constexpr std::array flags{
    Flag{'d', "detach", Type::Bool, "Run in the background and print the container's id"},
    Flag{.name = "detach-keys", .type = Type::String, .help = "Keys that detach from the container"},
    Flag{.name = "function", .help = "IMAGE names a function: run COMMAND with its code, layers and runtime"},
    Flag{.name = "sig-proxy", .help = "Pass signals on to the container", .fallback = "true"},
};

}  // namespace

const Command run_command{.usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
                          .summary = "Create a container from an image and run it",
                          .flags = flags,
                          .more_flags = options::container_flags(),
                          .arity = grammar::at_least(1),
                          .action = run,
                          .placement = grammar::FlagPlacement::BeforeArguments};

}  // namespace berth::cli::commands
