// image verify: the engine reads back what images consist of, and this tells what is wrong with them.
#include <array>
#include <set>

#include "apps/berth/commands/image_commands.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/context.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/progress.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using grammar::Command;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using output::Progress;

std::string joined(const std::vector<std::string>& names, std::string_view separator) {
  return fmt::format("{}", fmt::join(names, separator));
}

Outcome<Json> ask(Context& context, const std::vector<std::string>& names) {
  client::Request request{.method = "POST", .path = "/berth/images/verify"};
  for (const std::string& name : names) {
    CHECK(check_name(name));
    request.query.add("image", name);
  }
  Json report;
  Progress progress(context.err, context.err.is_terminal() ? Progress::Quiet::No : Progress::Quiet::Yes,
                    [&](const Json& aux) { report = aux; });
  CHECK(context.engine().stream(request, [&](std::string_view bytes) { return progress.feed(bytes); }));
  CHECK(progress.finish());
  const Json* faults = json_member(report, "Faults");
  if (faults == nullptr || !faults->is_array()) return refuse("the engine's answer has no report");
  return report;
}

/// How to get whole images again: everything that shares the damaged parts has to go first.
std::string way_out(size_t faults, const std::set<std::string>& images, bool others) {
  std::string text = fmt::format("{} fault{}", faults, faults == 1 ? "" : "s");
  if (!images.empty()) {
    std::string names = fmt::format("{}", fmt::join(images, " "));
    text += fmt::format(
        ": remove what needs the damaged parts (berth rmi -f {}), then pull, load or build it again", names);
  }
  if (others) text += fmt::format("{} of the registry's blobs: push them again", images.empty() ? "" : ";");
  return text;
}

Outcome<int> verify(Context& context, const Invocation& invocation) {
  TRY(Json report, ask(context, invocation.arguments()));
  if (invocation.text("format") == "json") {
    context.out.line(to_json(report));
    return report["Faults"].empty() ? 0 : 1;
  }
  if (invocation.given("format"))
    return refuse("--format \"{}\" is not known: expected json", invocation.text("format"));
  std::set<std::string> damaged;
  bool others = false;
  size_t faults = 0;
  for (const Json& fault : report["Faults"]) {
    ++faults;
    TRY(std::vector<std::string> images, json_strings(fault, "Images"));
    damaged.insert(images.begin(), images.end());
    others = others || images.empty();
    context.out.line(output::printable(
        fmt::format("{}: {} {} {}", images.empty() ? "registry" : joined(images, ", "),
                    json_string(fault, "Part").value_or(""), json_string(fault, "Digest").value_or(""),
                    json_string(fault, "Trouble").value_or(""))));
  }
  if (!invocation.on("quiet")) {
    TRY(std::vector<std::string> images, json_strings(report, "Images"));
    for (const std::string& image : images) {
      if (!damaged.contains(image)) context.out.line(output::printable(image + ": verified"));
    }
    context.out.print("{} images, {} blobs and {} layers, {} read\n", images.size(),
                      json_int(report, "Blobs").value_or(0), json_int(report, "Layers").value_or(0),
                      output::human_size(static_cast<double>(json_int(report, "Bytes").value_or(0))));
  }
  if (faults == 0) return 0;
  context.out.flush();
  return Failure::client(way_out(faults, damaged, others));
}

constexpr std::array verify_flags{
    Flag{.name = "format", .type = Type::String, .help = "'json': the whole report as one JSON object"},
    Flag{'q', "quiet", Type::Bool, "Print faults alone"},
};

}  // namespace

const Command verify_images_command{
    .usage = "[OPTIONS] [IMAGE...]",
    .summary = "Check images against their digests",
    .flags = verify_flags,
    .arity = grammar::at_least(0),
    .action = verify,
    .description =
        "Read configurations, manifests, layers' bytes and unpacked layers back from the disk and hold them\n"
        "against their digests: of the images named, or of everything in the store. Prints a line for each\n"
        "fault and leaves with status 1; changes nothing."};

}  // namespace berth::cli::commands
