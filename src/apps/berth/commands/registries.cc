// login, logout, search.
#include <unistd.h>

#include <array>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/listing.h"
#include "apps/berth/commands/prompt.h"
#include "apps/berth/commands/registry_auth.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/filters.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

/// The host that `login` was given, without scheme and path; docker.io when there is none.
std::string server_of(const Invocation& invocation) {
  std::string server = invocation.arguments().empty() ? "docker.io" : invocation.argument(0);
  for (std::string_view scheme : {"https://", "http://"}) {
    if (server.starts_with(scheme)) server.erase(0, scheme.size());
  }
  return server.substr(0, server.find('/'));
}

Outcome<Credentials> ask_credentials(Context& context, const Invocation& invocation, const std::string& key) {
  Credentials credentials;
  credentials.server = key;
  credentials.user = invocation.text("username");
  credentials.secret = invocation.text("password");
  if (invocation.on("password-stdin")) {
    if (!credentials.secret.empty()) return refuse("--password and --password-stdin are mutually exclusive");
    if (credentials.user.empty()) return refuse("Must provide --username with --password-stdin");
    TRY(credentials.secret, archive::read_text("-", 1u << 20));
    while (credentials.secret.ends_with('\n') || credentials.secret.ends_with('\r'))
      credentials.secret.pop_back();
  } else if (!credentials.secret.empty()) {
    context.err.line("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
  }
  bool terminal = ::isatty(STDIN_FILENO) == 1;
  if (credentials.user.empty() || credentials.secret.empty()) {
    if (!terminal) return refuse("Error: Cannot perform an interactive login from a non TTY device");
    TRY(Credentials known, find_credentials(context, key));
    if (credentials.user.empty()) {
      std::string label = known.user.empty() ? "Username: " : fmt::format("Username ({}): ", known.user);
      TRY(credentials.user, ask(context, label, Echo::On));
      if (credentials.user.empty()) credentials.user = known.user;
    }
    if (credentials.user.empty()) return refuse("Error: Non-null Username Required");
    TRY(credentials.secret, ask(context, "Password: ", Echo::Off));
    if (credentials.secret.empty()) return refuse("Error: Password Required");
  }
  return credentials;
}

Outcome<int> login(Context& context, const Invocation& invocation) {
  std::string key = registry_key(server_of(invocation));
  TRY(Credentials credentials, ask_credentials(context, invocation, key));
  Json body{{"username", credentials.user}, {"password", credentials.secret}, {"serveraddress", key}};
  TRY(auto reply, context.engine().call({.method = "POST", .path = "/auth", .body = to_json(body)}));
  std::string status = "Login Succeeded";
  if (!reply.body.empty()) {
    TRY(Json answer, parse_json(reply.body));
    credentials.identity_token = json_string(answer, "IdentityToken").value_or("");
    if (auto words = json_string(answer, "Status"); words && !words->empty()) status = *words;
  }
  if (!credentials.identity_token.empty()) credentials.secret.clear();
  TRY(StoredIn stored, store_credentials(context, credentials));
  if (stored == StoredIn::PlainFile) {
    context.err.print(
        "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to "
        "remove "
        "this warning (\"credsStore\" in that file).\n\n",
        configuration_file(context));
  }
  context.out.line(status);
  return 0;
}

Outcome<int> logout(Context& context, const Invocation& invocation) {
  std::string server = server_of(invocation);
  TRY(bool found, erase_credentials(context, registry_key(server)));
  if (found) {
    context.out.print("Removing login credentials for {}\n", registry_key(server));
  } else {
    context.out.print("Not logged in to {}\n", registry_key(server));
  }
  return 0;
}

Outcome<int> search(Context& context, const Invocation& invocation) {
  const std::string& term = invocation.argument(0);
  if (term.find("://") != std::string::npos) return refuse("invalid repository name: {}", term);
  client::Query query;
  query.add("term", term);
  if (invocation.number("limit") > 0) query.add("limit", invocation.text("limit"));
  query.add_unless_empty("filters", options::filters_json(options::parse_filters(invocation.list("filter"))));
  TRY(client::Headers headers, registry_auth_header(context, term));
  TRY(auto reply, context.engine().call({.path = "/images/search", .query = query, .headers = headers}));
  TRY(Json results, parse_json(reply.body));
  std::string format =
      choose_format(context, invocation, "search",
                    {.table = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}"});
  const Headings headings{
      {"Name", "NAME"}, {"Description", "DESCRIPTION"}, {"StarCount", "STARS"}, {"IsOfficial", "OFFICIAL"}};
  TRY(Listing listing, Listing::create(format, headings, "*registry.searchContext"));
  bool json = format == "json" || format == "{{json .}}";
  for (const Json& result : results) {
    std::string description = json_string(result, "description").value_or("");
    for (char& c : description) c = c == '\n' || c == '\r' ? ' ' : c;
    bool official = json_bool(result, "is_official").value_or(false);
    RowFields row;
    row.emplace_back("Name", json_string(result, "name").value_or(""));
    row.emplace_back("Description",
                     invocation.on("no-trunc") ? description : output::ellipsis(description, 45));
    row.emplace_back("StarCount", fmt::format("{}", json_int(result, "star_count").value_or(0)));
    row.emplace_back("IsOfficial", json ? (official ? "true" : "false") : (official ? "[OK]" : ""));
    CHECK(listing.add(std::move(row)));
  }
  context.out.write(listing.text());
  return 0;
}

constexpr std::array login_flags{
    Flag{'p', "password", Type::String, "Password or access token"},
    Flag{.name = "password-stdin", .help = "Read the password or access token from standard input"},
    Flag{'u', "username", Type::String, "Name of the user"},
};
constexpr std::array search_flags{
    Flag{'f', "filter", Type::Filter, "Show only images that meet the condition"},
    Flag{.name = "format", .type = Type::String, .help = list_format_help},
    Flag{.name = "limit", .type = Type::Int, .help = "At most this many results"},
    Flag{.name = "no-trunc", .help = "Show descriptions in full"},
};

}  // namespace

const Command login_command{.usage = "[OPTIONS] [SERVER]",
                            .summary = "Log in to a registry",
                            .flags = login_flags,
                            .arity = grammar::between(0, 1),
                            .action = login,
                            .description = "Log in to a registry. Without SERVER: docker.io."};
const Command logout_command{.usage = "[SERVER]",
                             .summary = "Log out from a registry",
                             .arity = grammar::between(0, 1),
                             .action = logout};
const Command search_command{.usage = "[OPTIONS] TERM",
                             .summary = "Look for images in a registry",
                             .flags = search_flags,
                             .arity = grammar::exactly(1),
                             .action = search};

}  // namespace berth::cli::commands
