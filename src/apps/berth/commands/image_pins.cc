// image pin, unpin, pins: images that the storage quota never takes.
#include "apps/berth/commands/image_commands.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/context.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using grammar::Command;
using grammar::Invocation;

/// "/berth/images/NAME/pin"
std::string pin_path(const std::string& name) {
  return "/berth" + client::image_path(name, "pin");
}

Outcome<int> pin(Context& context, const Invocation& invocation) {
  return perform_each(context, invocation.arguments(), [](const std::string& name) {
    return client::Request{.method = "POST", .path = pin_path(name)};
  });
}

Outcome<int> unpin(Context& context, const Invocation& invocation) {
  return perform_each(context, invocation.arguments(), [](const std::string& name) {
    return client::Request{.method = "DELETE", .path = pin_path(name)};
  });
}

Outcome<int> list(Context& context, const Invocation&) {
  TRY(auto reply, context.engine().call({.path = "/berth/images/pins"}));
  TRY(Json names, parse_json(reply.body));
  if (!names.is_array()) return refuse("the engine's answer is no list");
  for (const Json& name : names) {
    if (name.is_string()) context.out.line(output::printable(name.get<std::string>()));
  }
  return 0;
}

}  // namespace

const Command pin_image_command{
    .usage = "IMAGE [IMAGE...]",
    .summary = "Keep images from the storage quota",
    .arity = grammar::at_least(1),
    .action = pin,
    .description =
        "Keep images from the storage quota (berthd --storage-quota): they are never removed to make room.\n"
        "A name's pin goes with the name to whatever image has it; an id's is the image's."};
const Command unpin_image_command{.usage = "IMAGE [IMAGE...]",
                                  .summary = "Let the storage quota have images again",
                                  .arity = grammar::at_least(1),
                                  .action = unpin};
const Command list_pins_command{.usage = "", .summary = "List pinned images", .action = list};

}  // namespace berth::cli::commands
