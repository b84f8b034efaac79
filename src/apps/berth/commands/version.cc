// version.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/listing.h"
#include "apps/berth/gotemplate/document.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/table.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using gotemplate::Object;
using gotemplate::Shape;
using gotemplate::Template;
using gotemplate::Value;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

constexpr std::string_view architecture =
#if defined(__x86_64__)
    "amd64";
#elif defined(__aarch64__)
    "arm64";
#else
    "unknown";
#endif

Object client_part(Context& context) {
  Object client{Shape::Struct, "system.clientVersion", {}};
  auto add = [&](const char* key, Value value) { client.fields.emplace_back(key, std::move(value)); };
  add("Platform", Object{Shape::Struct, "*system.platformInfo", {{"Name", Value("Berth")}}});
  add("Version", BERTH_VERSION);
  add("ApiVersion", context.engine().version());
  add("APIVersion", context.engine().version());
  add("DefaultAPIVersion", client::newest_version);
  add("Os", "linux");
  add("Arch", architecture);
  add("Context", "default");
  return client;
}

/// For people: what the template of --format gets, as aligned lines.
class VersionText {
 public:
  std::string client(const client::Client& engine) {
    text_ = "Client: Berth\n";
    line(" Version", BERTH_VERSION);
    std::string api = engine.version();
    if (api != client::newest_version) api += fmt::format(" (downgraded from {})", client::newest_version);
    line(" API version", api);
    line(" OS/Arch", fmt::format("linux/{}", architecture));
    line(" Context", "default");
    return output::align_columns(text_, layout);
  }

  std::string server(const Json& version) {
    std::string platform;
    if (auto found = version.find("Platform"); found != version.end()) platform = get(*found, "Name");
    text_ = fmt::format("\nServer:{}{}\n", platform.empty() ? "" : " ", platform);
    auto components = version.find("Components");
    if (components != version.end() && components->is_array() && !components->empty()) {
      for (const Json& component : *components) add_component(component);
    } else {
      engine_lines(version, version);
    }
    return output::align_columns(text_, layout);
  }

 private:
  static constexpr output::TableLayout layout{.min_width = 20, .padding = 1};

  static std::string get(const Json& object, std::string_view key) {
    auto text = json_string(object, key);
    return text ? output::printable(*text) : "";
  }
  void line(std::string_view name, std::string_view value) { text_ += fmt::format("{}:\t{}\n", name, value); }

  void add_component(const Json& component) {
    std::string name = get(component, "Name");
    auto details = component.find("Details");
    const Json empty = Json::object();
    const Json& known = details != component.end() ? *details : empty;
    if (name == "Engine") return engine_lines(component, known);
    text_ += fmt::format(" {}:\n", name);
    line("  Version", get(component, "Version"));
    for (const auto& [key, value] : known.items()) line("  " + key, get(known, key));
  }

  void engine_lines(const Json& component, const Json& details) {
    text_ += " Engine:\n";
    line("  Version", get(component, "Version"));
    line("  API version",
         fmt::format("{} (minimum version {})", get(details, "ApiVersion"), get(details, "MinAPIVersion")));
    if (!get(details, "GoVersion").empty()) line("  Go version", get(details, "GoVersion"));
    line("  Git commit", get(details, "GitCommit"));
    line("  Built", output::calendar_time(get(details, "BuildTime")));
    line("  OS/Arch", fmt::format("{}/{}", get(details, "Os"), get(details, "Arch")));
    line("  Experimental", get(details, "Experimental").empty() ? "false" : get(details, "Experimental"));
  }

  std::string text_;
};

Outcome<int> by_template(Context& context, const std::string& format, const Outcome<client::Reply>& reply) {
  auto parsed = Template::parse(format == "json" ? "{{json .}}" : format, "version");
  if (!parsed)
    return Failure::client(fmt::format("template parsing error: {}", parsed.error().message()), 64);
  Object root{Shape::Struct, "system.versionInfo", {}};
  root.fields.emplace_back("Client", client_part(context));
  root.fields.emplace_back("Server", gotemplate::Nil{});
  if (reply) {
    TRY(Value server, gotemplate::parse_document(reply->body, gotemplate::Typing::Typed));
    root.fields.back().second = std::move(server);
  }
  std::string text;
  auto done = parsed->execute(text, Value(std::move(root)));
  context.out.line(text);
  if (!done) return Failure::client(done.error().message());
  if (!reply) return reply.error();
  return 0;
}

Outcome<int> version(Context& context, const Invocation& invocation) {
  auto reply = context.engine().call({.path = "/version"});
  std::string format = invocation.text("format");
  if (!format.empty()) return by_template(context, format, reply);
  VersionText text;
  context.out.write(text.client(context.engine()));
  if (!reply) return reply.error();
  TRY(Json server, parse_json(reply->body));
  context.out.write(text.server(server));
  return 0;
}

constexpr std::array flags{Flag{'f', "format", Type::String, inspect_format_help}};

}  // namespace

const Command version_command{.usage = "[OPTIONS]",
                              .summary = "Show the versions of program and engine",
                              .flags = flags,
                              .action = version};

}  // namespace berth::cli::commands
