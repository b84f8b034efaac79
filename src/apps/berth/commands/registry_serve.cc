// registry serve, ls, gc: the engine serves its store as an OCI registry for as long as this command runs.
#include <array>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/listing.h"
#include "apps/berth/commands/registry_commands.h"
#include "apps/berth/context.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

constexpr size_t max_settings_file = 4u << 20;

/// Files are read here and sent: the engine may be on another machine.
Outcome<void> add_file(Json& settings, const Invocation& invocation, std::string_view flag, const char* key) {
  std::string path = invocation.text(flag);
  if (path.empty()) return {};
  TRY(settings[key], archive::read_text(path, max_settings_file));
  return {};
}

Outcome<Json> read_settings(const Invocation& invocation) {
  Json settings = Json::object();
  CHECK(add_file(settings, invocation, "tls-cert", "Certificate"));
  CHECK(add_file(settings, invocation, "tls-key", "Key"));
  CHECK(add_file(settings, invocation, "tls-client-ca", "ClientCa"));
  CHECK(add_file(settings, invocation, "htpasswd", "Htpasswd"));
  CHECK(add_file(settings, invocation, "token-key", "TokenKey"));
  CHECK(add_file(settings, invocation, "proxy-credentials", "ProxyCredentials"));
  for (auto [flag, key] : {std::pair{"addr", "Address"},
                           {"data-root", "DataRoot"},
                           {"proxy", "Proxy"},
                           {"token-realm", "TokenRealm"},
                           {"token-service", "TokenService"},
                           {"token-issuer", "TokenIssuer"}}) {
    if (std::string value = invocation.text(flag); !value.empty()) settings[key] = value;
  }
  settings["ReadOnly"] = invocation.on("readonly");
  settings["Delete"] = invocation.on("delete");
  settings["TokenEndpoint"] = invocation.on("token");
  if (invocation.given("quota")) settings["Quota"] = invocation.number("quota");
  if (invocation.given("max-blob-size")) settings["MaxBlobSize"] = invocation.number("max-blob-size");
  return settings;
}

/// One line of the engine's answer: {"Address":...}, {"Log":...} or {"Error":...}.
Outcome<void> show_line(Context& context, std::string_view line) {
  if (line.empty()) return {};
  TRY(Json event, parse_json(line));
  if (auto error = json_string(event, "Error"); error && !error->empty()) return Failure::daemon(*error, 500);
  if (auto address = json_string(event, "Address"); address && !address->empty()) {
    context.err.print("registry listens on {}; Ctrl-C ends it\n", *address);
    context.err.flush();
  }
  if (auto entry = json_string(event, "Log"); entry && !entry->empty()) {
    context.out.line(*entry);
    context.out.flush();
  }
  return {};
}

Outcome<int> serve(Context& context, const Invocation& invocation) {
  TRY(Json settings, read_settings(invocation));
  client::Request request{.method = "POST", .path = "/berth/registry", .body = to_json(settings)};
  std::string pending;
  CHECK(context.engine().stream(request, [&](std::string_view bytes) -> Outcome<void> {
    pending += bytes;
    for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      CHECK(show_line(context, std::string_view(pending).substr(0, end)));
    }
    return {};
  }));
  return refuse("the engine has stopped, and the registry with it");
}

Outcome<int> list(Context& context, const Invocation& invocation) {
  client::Query query;
  query.add_unless_empty("dataRoot", invocation.text("data-root"));
  TRY(auto reply, context.engine().call({.path = "/berth/registry/repositories", .query = query}));
  TRY(Json repositories, parse_json(reply.body));
  std::string format = choose_format(
      context, invocation, "repositories",
      {.table = "table {{.Name}}\t{{.Tags}}\t{{.Manifests}}\t{{.Blobs}}\t{{.Size}}", .quiet = "{{.Name}}"});
  const Headings headings{{"Name", "REPOSITORY"},
                          {"Tags", "TAGS"},
                          {"Manifests", "MANIFESTS"},
                          {"Blobs", "BLOBS"},
                          {"Size", "SIZE"}};
  TRY(Listing listing, Listing::create(format, headings, "*registry.repositoryContext"));
  for (const Json& repository : repositories) {
    RowFields row;
    row.emplace_back("Name", json_string(repository, "Name").value_or(""));
    for (const char* count : {"Tags", "Manifests", "Blobs"}) {
      row.emplace_back(count, fmt::format("{}", json_int(repository, count).value_or(0)));
    }
    row.emplace_back("Size",
                     output::human_size(static_cast<double>(json_int(repository, "Size").value_or(0))));
    CHECK(listing.add(std::move(row)));
  }
  context.out.write(listing.text());
  return 0;
}

Outcome<int> collect(Context& context, const Invocation& invocation) {
  client::Query query;
  if (invocation.given("grace")) query.add("grace", invocation.text("grace"));  // in nanoseconds
  query.flag("untagged", invocation.on("untagged"));
  query.add_unless_empty("dataRoot", invocation.text("data-root"));
  TRY(auto reply, context.engine().call({.method = "POST", .path = "/berth/registry/gc", .query = query}));
  TRY(Json report, parse_json(reply.body));
  context.out.print("Removed {} manifests, {} blobs and {} unfinished uploads\nTotal reclaimed space: {}\n",
                    json_int(report, "Manifests").value_or(0), json_int(report, "Blobs").value_or(0),
                    json_int(report, "Uploads").value_or(0),
                    output::human_size(static_cast<double>(json_int(report, "Reclaimed").value_or(0))));
  return 0;
}

constexpr std::string_view data_root_help =
    "Folder of a store of its own on the engine's machine (default: its images' "
    "store)";
constexpr std::array serve_flags{
    Flag{.name = "addr", .type = Type::String, .help = "Address to listen on", .fallback = "127.0.0.1:5000"},
    Flag{.name = "data-root", .type = Type::String, .help = data_root_help},
    Flag{.name = "delete", .help = "Allow deletion of tags, manifests and blobs", .fallback = "true"},
    Flag{.name = "htpasswd",
         .type = Type::String,
         .help = "File of users with bcrypt passwords (htpasswd -B)"},
    Flag{.name = "max-blob-size", .type = Type::Bytes, .help = "Refuse larger blobs"},
    Flag{.name = "proxy",
         .type = Type::String,
         .help = "Fetch what is missing from this registry (URL), and keep it"},
    Flag{.name = "proxy-credentials",
         .type = Type::String,
         .help = "File with USER:PASSWORD for the registry of --proxy"},
    Flag{.name = "quota", .type = Type::Bytes, .help = "Bytes that each repository may hold"},
    Flag{.name = "readonly", .help = "Refuse everything that changes something"},
    Flag{.name = "tls-cert", .type = Type::String, .help = "Certificate (PEM); without it: plain HTTP"},
    Flag{.name = "tls-client-ca",
         .type = Type::String,
         .help = "CA that clients' certificates must be signed by"},
    Flag{.name = "tls-key", .type = Type::String, .help = "Key of the certificate"},
    Flag{.name = "token",
         .help = "Hand out tokens to the users of --htpasswd instead of asking for their passwords"},
    Flag{.name = "token-issuer", .type = Type::String, .help = "Issuer that tokens must name"},
    Flag{.name = "token-key",
         .type = Type::String,
         .help = "PEM public key or certificate (RS256, ES256) or a secret (HS256) of tokens"},
    Flag{.name = "token-realm", .type = Type::String, .help = "URL of the server that hands out tokens"},
    Flag{.name = "token-service",
         .type = Type::String,
         .help = "Name of this service in tokens",
         .fallback = "berth-registry"},
};
constexpr std::array list_flags{
    Flag{.name = "data-root", .type = Type::String, .help = data_root_help},
    Flag{.name = "format", .type = Type::String, .help = list_format_help},
    Flag{'q', "quiet", Type::Bool, "Show only names"},
};
constexpr std::array collect_flags{
    Flag{.name = "data-root", .type = Type::String, .help = data_root_help},
    Flag{.name = "grace",
         .type = Type::Duration,
         .help = "Keep what was pushed within this time",
         .fallback = "1h"},
    Flag{.name = "untagged", .help = "Remove manifests that no tag and no other manifest leads to"},
};

}  // namespace

const Command serve_registry_command{
    .usage = "[OPTIONS]",
    .summary = "Serve a registry",
    .flags = serve_flags,
    .action = serve,
    .description =
        "Serve an OCI registry from the engine's store until interrupted, and print its access log."};
const Command list_repositories_command{
    .usage = "[OPTIONS]", .summary = "List repositories", .flags = list_flags, .action = list};
const Command collect_registry_command{.usage = "[OPTIONS]",
                                       .summary = "Remove blobs that no manifest refers to",
                                       .flags = collect_flags,
                                       .action = collect};

}  // namespace berth::cli::commands
