// info.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/listing.h"
#include "apps/berth/gotemplate/document.h"
#include "apps/berth/grammar/invocation.h"
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

/// Writes `name: value` lines of GET /info; what the engine does not tell is left out.
class InfoText {
 public:
  InfoText(output::Stream& out, const Json& info) : out_(out), info_(info) {}

  void write() {
    number(" Containers", "Containers");
    number("  Running", "ContainersRunning");
    number("  Paused", "ContainersPaused");
    number("  Stopped", "ContainersStopped");
    number(" Images", "Images");
    text(" Server Version", "ServerVersion");
    text(" Storage Driver", "Driver");
    pairs("  ", "DriverStatus");
    text(" Logging Driver", "LoggingDriver");
    text(" Cgroup Driver", "CgroupDriver");
    text(" Cgroup Version", "CgroupVersion");
    plugins();
    devices();
    swarm();
    runtimes();
    security();
    host();
    tail();
  }

 private:
  static std::string get(const Json& object, std::string_view key) {
    auto value = json_string(object, key);
    return value ? output::printable(*value) : "";
  }
  void line(std::string_view name, std::string_view value) { out_.print("{}: {}\n", name, value); }
  void text(std::string_view name, std::string_view key) {
    if (std::string value = get(info_, key); !value.empty()) line(name, value);
  }
  void number(std::string_view name, std::string_view key) {
    out_.print("{}: {}\n", name, json_int(info_, key).value_or(0));
  }
  void flag(std::string_view name, std::string_view key) {
    line(name, json_bool(info_, key).value_or(false) ? "true" : "false");
  }
  const Json& object(std::string_view key) const {
    static const Json nothing = Json::object();
    auto found = info_.find(key);
    return found == info_.end() || !found->is_object() ? nothing : *found;
  }
  static std::string joined(const Json& parent, std::string_view key) {
    return fmt::format("{}", fmt::join(json_strings(parent, key).value_or(std::vector<std::string>()), " "));
  }
  void pairs(std::string_view indent, std::string_view key) {
    auto list = info_.find(key);
    if (list == info_.end() || !list->is_array()) return;
    for (const Json& pair : *list) {
      if (pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string()) {
        out_.print("{}{}: {}\n", indent, pair[0].get<std::string>(), pair[1].get<std::string>());
      }
    }
  }

  void plugins() {
    const Json& plugins = object("Plugins");
    out_.line(" Plugins:");
    line("  Volume", joined(plugins, "Volume"));
    line("  Network", joined(plugins, "Network"));
    if (std::string names = joined(plugins, "Authorization"); !names.empty()) line("  Authorization", names);
    line("  Log", joined(plugins, "Log"));
  }

  void devices() {
    if (auto directories = json_strings(info_, "CDISpecDirs"); directories && !directories->empty()) {
      out_.line(" CDI spec directories:");
      for (const std::string& directory : *directories) out_.print("  {}\n", output::printable(directory));
    }
    auto found = info_.find("DiscoveredDevices");
    if (found == info_.end() || !found->is_array() || found->empty()) return;
    out_.line(" Discovered Devices:");
    for (const Json& device : *found)
      out_.print("  {}: {}\n", output::printable(get(device, "Source")),
                 output::printable(get(device, "ID")));
  }

  void swarm() {
    if (std::string state = get(object("Swarm"), "LocalNodeState"); !state.empty()) line(" Swarm", state);
  }

  void runtimes() {
    const Json& runtimes = object("Runtimes");
    if (runtimes.empty()) return;
    std::vector<std::string> names;
    for (const auto& [name, runtime] : runtimes.items()) names.push_back(name);
    line(" Runtimes", fmt::format("{}", fmt::join(names, " ")));
    line(" Default Runtime", get(info_, "DefaultRuntime"));
    line(" Init Binary", get(info_, "InitBinary"));
    for (auto [name, key] : {std::pair{" containerd version", "ContainerdCommit"},
                             {" runc version", "RuncCommit"},
                             {" init version", "InitCommit"}}) {
      line(name, get(object(key), "ID"));
    }
  }

  /// "name=seccomp,profile=builtin" is shown as the name with its profile below.
  void security() {
    auto options = json_strings(info_, "SecurityOptions").value_or(std::vector<std::string>());
    if (options.empty()) return;
    out_.line(" Security Options:");
    for (std::string_view option : options) {
      while (!option.empty()) {
        std::string_view part = option.substr(0, option.find(','));
        option.remove_prefix(std::min(option.size(), part.size() + 1));
        size_t equals = part.find('=');
        std::string_view key = part.substr(0, equals);
        std::string_view value = equals == std::string_view::npos ? part : part.substr(equals + 1);
        if (key == "name" || equals == std::string_view::npos) out_.print("  {}\n", value);
        if (key == "profile") out_.print("   Profile: {}\n", value);
      }
    }
  }

  void host() {
    text(" Kernel Version", "KernelVersion");
    text(" Operating System", "OperatingSystem");
    text(" OSType", "OSType");
    text(" Architecture", "Architecture");
    number(" CPUs", "NCPU");
    line(" Total Memory", output::binary_size(static_cast<double>(json_int(info_, "MemTotal").value_or(0))));
    text(" Name", "Name");
    text(" ID", "ID");
    text(" Docker Root Dir", "DockerRootDir");
    flag(" Debug Mode", "Debug");
  }

  void tail() {
    text(" HTTP Proxy", "HttpProxy");
    text(" HTTPS Proxy", "HttpsProxy");
    text(" No Proxy", "NoProxy");
    list(" Labels", json_strings(info_, "Labels").value_or(std::vector<std::string>()));
    flag(" Experimental", "ExperimentalBuild");
    registries();
    flag(" Live Restore Enabled", "LiveRestoreEnabled");
    text(" Product License", "ProductLicense");
    auto pools = info_.find("DefaultAddressPools");
    if (pools != info_.end() && pools->is_array() && !pools->empty()) {
      out_.line(" Default Address Pools:");
      for (const Json& pool : *pools) {
        out_.print("   Base: {}, Size: {}\n", get(pool, "Base"), json_int(pool, "Size").value_or(0));
      }
    }
    out_.line("");
  }

  void list(std::string_view heading, const std::vector<std::string>& entries) {
    if (entries.empty()) return;
    out_.print("{}:\n", heading);
    for (const std::string& entry : entries) out_.print("  {}\n", output::printable(entry));
  }

  void registries() {
    const Json& registries = object("RegistryConfig");
    std::vector<std::string> insecure;
    if (auto hosts = registries.find("IndexConfigs"); hosts != registries.end() && hosts->is_object()) {
      for (const auto& [name, host] : hosts->items()) {
        if (!json_bool(host, "Secure", true).value_or(true)) insecure.push_back(name);
      }
    }
    for (const std::string& range :
         json_strings(registries, "InsecureRegistryCIDRs").value_or(std::vector<std::string>())) {
      insecure.push_back(range);
    }
    list(" Insecure Registries", insecure);
    list(" Registry Mirrors", json_strings(registries, "Mirrors").value_or(std::vector<std::string>()));
  }

  output::Stream& out_;
  const Json& info_;
};

Value client_info(Context& context) {
  Object client{Shape::Struct, "*system.clientInfo", {}};
  client.fields.emplace_back("Debug", context.options().debug);
  client.fields.emplace_back("Version", BERTH_VERSION);
  client.fields.emplace_back("Context", "default");
  client.fields.emplace_back("Plugins", gotemplate::List{});
  client.fields.emplace_back("Warnings", gotemplate::Nil{});
  return client;
}

Outcome<int> by_template(Context& context, const std::string& format, const std::string& body) {
  auto parsed = gotemplate::Template::parse(format == "json" ? "{{json .}}" : format);
  if (!parsed)
    return Failure::client(fmt::format("template parsing error: {}", parsed.error().message()), 64);
  TRY(Value document, gotemplate::parse_document(body, gotemplate::Typing::Typed));
  const Object* fields = document.object();
  if (fields == nullptr) return refuse("the engine's answer is not a JSON object");
  Object root = *fields;
  root.shape = Shape::Struct;
  root.type_name = "system.dockerInfo";
  root.fields.emplace_back("ClientInfo", client_info(context));
  std::string text;
  auto done = parsed->execute(text, Value(std::move(root)));
  context.out.line(text);
  if (!done) return Failure::client(done.error().message());
  return 0;
}

Outcome<int> info(Context& context, const Invocation& invocation) {
  std::string format = invocation.text("format");
  auto reply = context.engine().call({.path = "/info"});
  if (!format.empty()) {
    if (!reply) return reply.error();
    return by_template(context, format, reply->body);
  }
  context.out.print("Client:\n Version:    {}\n Context:    default\n Debug Mode: {}\n\nServer:\n",
                    BERTH_VERSION, context.options().debug);
  if (!reply) return reply.error();
  TRY(Json json, parse_json(reply->body));
  if (!json.is_object()) return refuse("the engine's answer is not a JSON object");
  InfoText(context.out, json).write();
  context.out.flush();
  for (const std::string& warning : json_strings(json, "Warnings").value_or(std::vector<std::string>())) {
    context.err.line(output::printable(warning));
  }
  return 0;
}

constexpr std::array flags{Flag{'f', "format", Type::String, inspect_format_help}};

}  // namespace

const Command info_command{.usage = "[OPTIONS]",
                           .summary = "Show what the engine is, can and holds",
                           .flags = flags,
                           .action = info};

}  // namespace berth::cli::commands
