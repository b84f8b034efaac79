// context create, ls, show, inspect, use, rm. "default" is the engine of -H.
#include <array>

#include "apps/berth/client/context_store.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/inspecting.h"
#include "apps/berth/commands/listing.h"
#include "apps/berth/commands/registry_commands.h"
#include "apps/berth/grammar/invocation.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

constexpr std::string_view default_description = "The engine of -H or $BERTH_HOST";

/// The engine of "default" as it would be without a chosen context.
std::string default_host(Context& context) {
  if (context.context_name() == "default") return context.endpoint().str();
  return client::default_endpoint().str();
}

RowFields row_of(Context& context, std::string_view name, std::string_view description,
                 const std::string& host) {
  RowFields row;
  row.emplace_back("Current", name == context.context_name());
  row.emplace_back("Description", description);
  row.emplace_back("DockerEndpoint", host);
  row.emplace_back("Error", "");
  row.emplace_back("Name", name);
  return row;
}

Outcome<int> list(Context& context, const Invocation& invocation) {
  std::string format = choose_format(context, invocation, "contexts",
                                     {.table = "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t"
                                               "{{.DockerEndpoint}}\t{{.Error}}",
                                      .quiet = "{{.Name}}"});
  const Headings headings{{"Name", "NAME"},
                          {"Description", "DESCRIPTION"},
                          {"DockerEndpoint", "DOCKER ENDPOINT"},
                          {"Error", "ERROR"}};
  TRY(Listing listing, Listing::create(format, headings, "*formatter.clientContextContext"));
  CHECK(listing.add(row_of(context, "default", default_description, default_host(context))));
  for (const auto& stored : client::list_contexts(context.configuration().folder)) {
    CHECK(listing.add(row_of(context, stored.name, stored.description, stored.host)));
  }
  context.out.write(listing.text());
  return 0;
}

Outcome<int> show(Context& context, const Invocation&) {
  context.out.line(context.context_name());
  return 0;
}

/// Written by hand to keep docker's order of fields.
std::string describe(const client::StoredContext& stored) {
  std::string files;
  for (const auto& [path, name] : {std::pair{stored.tls.ca, "ca.pem"},
                                   {stored.tls.certificate, "cert.pem"},
                                   {stored.tls.key, "key.pem"}}) {
    if (!path.empty()) files += fmt::format("{}\"{}\"", files.empty() ? "" : ",", name);
  }
  std::string metadata = stored.description.empty()
                             ? "{}"
                             : fmt::format(R"({{"Description":{}}})", to_json(Json(stored.description)));
  return fmt::format(
      R"({{"Name":{},"Metadata":{},"Endpoints":{{"docker":{{"Host":{},"SkipTLSVerify":{}}}}},"TLSMaterial":{},"Storage":{{"MetadataPath":{},"TLSPath":{}}}}})",
      to_json(Json(stored.name)), metadata, to_json(Json(stored.host)), stored.skip_verify,
      files.empty() ? "{}" : fmt::format(R"({{"docker":[{}]}})", files), to_json(Json(stored.meta_path)),
      to_json(Json(stored.tls_path)));
}

Outcome<int> inspect(Context& context, const Invocation& invocation) {
  std::vector<std::string> names = invocation.arguments();
  if (names.empty()) names.push_back(context.context_name());
  return inspect_each(
      context, names, invocation.text("format"), [&](const std::string& name) -> Outcome<std::string> {
        if (name != "default") {
          TRY(auto stored, client::load_context(context.configuration().folder, name));
          return describe(stored);
        }
        return fmt::format(
            R"({{"Name":"default","Metadata":{{}},"Endpoints":{{"docker":{{"Host":{},"SkipTLSVerify":false}}}},"TLSMaterial":{{}},"Storage":{{"MetadataPath":"\u003cIN MEMORY\u003e","TLSPath":"\u003cIN MEMORY\u003e"}}}})",
            to_json(Json(default_host(context))));
      });
}

Outcome<int> use(Context& context, const Invocation& invocation) {
  const std::string& name = invocation.argument(0);
  CHECK(client::choose_context(context.configuration().folder, name));
  context.out.line(name);
  context.err.print("Current context is now \"{}\"\n", name);
  return 0;
}

/// docker's notation: "host=tcp://h:2376,ca=/p/ca.pem,cert=/p/cert.pem,key=/p/key.pem,skip-tls-verify=true".
Outcome<void> read_endpoint(std::string_view text, client::StoredContext& stored) {
  while (!text.empty()) {
    size_t comma = text.find(',');
    std::string_view entry = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    size_t equals = entry.find('=');
    std::string_view key = entry.substr(0, equals);
    std::string value(equals == std::string_view::npos ? std::string_view() : entry.substr(equals + 1));
    if (key == "host") {
      stored.host = value;
    } else if (key == "ca") {
      stored.tls.ca = value;
    } else if (key == "cert") {
      stored.tls.certificate = value;
    } else if (key == "key") {
      stored.tls.key = value;
    } else if (key == "skip-tls-verify") {
      if (value != "true" && value != "false") return refuse("skip-tls-verify: must be true or false");
      stored.skip_verify = value == "true";
    } else {
      return refuse("unrecognized config key: {}", key);
    }
  }
  if (stored.host.empty()) return refuse("--docker: host=... is missing");
  if (stored.tls.certificate.empty() != stored.tls.key.empty())
    return refuse("--docker: give both cert and key");
  CHECK(client::parse_endpoint(stored.host));
  return {};
}

Outcome<int> create(Context& context, const Invocation& invocation) {
  client::StoredContext stored;
  stored.name = invocation.argument(0);
  if (stored.name == "default") return refuse("\"default\" is a reserved context name");
  if (!client::is_valid_context_name(stored.name)) {
    return refuse(
        "context name \"{}\" is invalid, names are validated against regexp "
        "\"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\"",
        stored.name);
  }
  stored.description = invocation.text("description");
  CHECK(read_endpoint(invocation.text("docker"), stored));
  CHECK(client::save_context(context.configuration().folder, stored));
  context.out.line(stored.name);
  context.err.print("Successfully created context \"{}\"\n", stored.name);
  return 0;
}

Outcome<int> remove(Context& context, const Invocation& invocation) {
  const std::string& folder = context.configuration().folder;
  Tally tally(context);
  for (const std::string& name : invocation.arguments()) {
    Outcome<void> removed;
    bool is_current = client::current_context(folder) == name;
    if (name == "default") {
      removed = refuse("context \"default\" cannot be removed");
    } else if (is_current && !invocation.on("force")) {
      removed = refuse("context \"{}\" is in use, set -f flag to force remove", name);
    } else if (auto gone = client::remove_context(folder, name); !gone) {
      removed = gone.error();
    } else if (is_current) {
      CHECK(client::choose_context(folder, "default"));
    }
    if (tally.accept(removed)) context.out.line(name);
  }
  return tally.exit_code();
}

constexpr std::array list_flags{Flag{.name = "format", .type = Type::String, .help = list_format_help},
                                Flag{'q', "quiet", Type::Bool, "Show only names"}};
constexpr std::array create_flags{
    Flag{.name = "description", .type = Type::String, .help = "What the context is for"},
    Flag{.name = "docker",
         .type = Type::String,
         .help = "The engine: host=tcp://HOST:2376[,ca=FILE,cert=FILE,key=FILE,skip-tls-verify=true]"}};
constexpr std::array remove_flags{Flag{'f', "force", Type::Bool, "Remove the chosen context as well"}};
constexpr std::array inspect_flags{Flag{'f', "format", Type::String, inspect_format_help}};

}  // namespace

const Command list_contexts_command{
    .usage = "[OPTIONS]", .summary = "List contexts", .flags = list_flags, .action = list};
const Command show_context_command{.summary = "Print the name of the current context", .action = show};
const Command inspect_context_command{.usage = "[OPTIONS] [CONTEXT] [CONTEXT...]",
                                      .summary = "Show everything known of contexts",
                                      .flags = inspect_flags,
                                      .arity = grammar::at_least(0),
                                      .action = inspect};
const Command use_context_command{
    .usage = "CONTEXT", .summary = "Choose a context", .arity = grammar::exactly(1), .action = use};

const Command create_context_command{.usage = "[OPTIONS] CONTEXT",
                                     .summary = "Name an engine",
                                     .flags = create_flags,
                                     .arity = grammar::exactly(1),
                                     .action = create};
const Command remove_context_command{.usage = "CONTEXT [CONTEXT...]",
                                     .summary = "Forget named engines",
                                     .flags = remove_flags,
                                     .arity = grammar::at_least(1),
                                     .action = remove};

}  // namespace berth::cli::commands
