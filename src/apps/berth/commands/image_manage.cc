// tag, rmi.
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/platform.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/grammar/invocation.h"
#include "base/json.h"
#include "spec/reference.h"

namespace berth::cli::commands {
namespace {

using client::image_path;
using client::Query;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

Outcome<int> tag(Context& context, const Invocation& invocation) {
  const std::string& source = invocation.argument(0);
  const std::string& target = invocation.argument(1);
  CHECK(check_name(source));
  auto reference = spec::Reference::parse(target);
  if (!reference)
    return refuse("Error parsing reference: \"{}\" is not a valid repository/tag: {}", target,
                  reference.error().message());
  if (reference->digest()) return refuse("refusing to create a tag with a digest reference");
  std::string name = reference->tag().empty() ? "latest" : reference->tag();
  CHECK(context.engine().call({.method = "POST",
                               .path = image_path(source, "tag"),
                               .query = Query().add("repo", reference->name()).add("tag", name)}));
  return 0;
}

Outcome<int> remove(Context& context, const Invocation& invocation) {
  bool force = invocation.on("force");
  Query query;
  query.flag("force", force).flag("noprune", invocation.on("no-prune"));
  for (const std::string& platform : invocation.list("platform")) {
    TRY(std::string json, platform_json(platform));
    query.add("platforms", json);
  }
  int exit_code = 0;
  for (const std::string& name : invocation.arguments()) {
    auto valid = check_name(name);
    auto reply = valid ? context.engine().call({.method = "DELETE", .path = image_path(name), .query = query})
                       : Outcome<client::Reply>(valid.error());
    if (!reply) {
      context.report(reply.error());
      if (!force || !reply.error().not_found()) exit_code = 1;
      continue;
    }
    TRY(Json removed, parse_json(reply->body));
    for (const Json& one : removed) {
      if (auto id = json_string(one, "Deleted"); id && !id->empty()) {
        context.out.print("Deleted: {}\n", *id);
      } else {
        context.out.print("Untagged: {}\n", json_string(one, "Untagged").value_or(""));
      }
    }
  }
  return exit_code;
}

constexpr std::array remove_flags{
    Flag{'f', "force", Type::Bool,
         "Remove the image even if it has other names or stopped containers use it"},
    Flag{.name = "no-prune", .help = "Keep untagged parents"},
    Flag{.name = "platform",
         .type = Type::Strings,
         .help = "Remove only these platforms of the image (os/arch)"},
};

}  // namespace

const Command tag_command{.usage = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
                          .summary = "Give an image a further name",
                          .arity = grammar::exactly(2),
                          .action = tag};
const Command remove_image_command{.usage = "[OPTIONS] IMAGE [IMAGE...]",
                                   .summary = "Remove one or more images",
                                   .flags = remove_flags,
                                   .arity = grammar::at_least(1),
                                   .action = remove};

}  // namespace berth::cli::commands
