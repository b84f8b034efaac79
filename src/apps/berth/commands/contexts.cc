// context ls, show, inspect, use: berth has one context, "default", which is the engine of -H.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/inspecting.h"
#include "apps/berth/commands/listing.h"
#include "apps/berth/grammar/invocation.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

constexpr std::string_view description = "The engine of -H or $BERTH_HOST";

Failure no_such_context(const std::string& name) {
  return refuse("context \"{}\": context not found: berth has only \"default\"", name);
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
  RowFields row;
  row.emplace_back("Current", true);
  row.emplace_back("Description", description);
  row.emplace_back("DockerEndpoint", context.endpoint().str());
  row.emplace_back("Error", "");
  row.emplace_back("Name", "default");
  CHECK(listing.add(std::move(row)));
  context.out.write(listing.text());
  return 0;
}

Outcome<int> show(Context& context, const Invocation&) {
  context.out.line("default");
  return 0;
}

Outcome<int> inspect(Context& context, const Invocation& invocation) {
  std::vector<std::string> names = invocation.arguments();
  if (names.empty()) names.emplace_back("default");
  return inspect_each(
      context, names, invocation.text("format"), [&](const std::string& name) -> Outcome<std::string> {
        if (name != "default") return no_such_context(name);
        // Written by hand to keep docker's order of fields.
        return fmt::format(
            R"({{"Name":"default","Metadata":{{}},"Endpoints":{{"docker":{{"Host":{},"SkipTLSVerify":false}}}},"TLSMaterial":{{}},"Storage":{{"MetadataPath":"\u003cIN MEMORY\u003e","TLSPath":"\u003cIN MEMORY\u003e"}}}})",
            to_json(Json(context.endpoint().str())));
      });
}

Outcome<int> use(Context& context, const Invocation& invocation) {
  if (invocation.argument(0) != "default") return no_such_context(invocation.argument(0));
  context.out.line("default");
  context.err.line("Current context is now \"default\"");
  return 0;
}

constexpr std::array list_flags{Flag{.name = "format", .type = Type::String, .help = list_format_help},
                                Flag{'q', "quiet", Type::Bool, "Show only names"}};
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

}  // namespace berth::cli::commands
