// save, load, import, pull, push, bootstrap.
#include <unistd.h>

#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/platform.h"
#include "apps/berth/commands/pulling.h"
#include "apps/berth/commands/registry_auth.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/commands/transfer.h"
#include "apps/berth/grammar/invocation.h"
#include "base/json.h"
#include "spec/reference.h"

namespace berth::cli::commands {
namespace {

using client::image_path;
using client::Query;
using client::Request;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;
using output::Progress;

Outcome<int> save(Context& context, const Invocation& invocation) {
  TRY(std::string platform, platform_json(invocation.text("platform")));
  TRY(OutputFile file, OutputFile::open(context, invocation.text("output"), "save"));
  Query query;
  for (const std::string& name : invocation.arguments()) query.add("names", name);
  query.add_unless_empty("platform", platform);
  CHECK(context.engine().stream({.path = "/images/get", .query = query},
                                [&](std::string_view bytes) { return file.write(bytes); }));
  CHECK(file.commit());
  return 0;
}

Outcome<int> load(Context& context, const Invocation& invocation) {
  std::string input = invocation.text("input");
  if (input.empty() && ::isatty(STDIN_FILENO) == 1)
    return refuse("requested load from stdin, but stdin is empty");
  sys::UniqueFd file;
  if (!input.empty() && input != "-") {
    TRY(file, open_input(input));
  }
  TRY(std::string platform, platform_json(invocation.text("platform")));
  bool quiet = invocation.on("quiet") || !context.out.is_terminal();
  Request request{.method = "POST", .path = "/images/load", .content_type = "application/x-tar"};
  request.query.add("quiet", quiet ? "1" : "0").add_unless_empty("platform", platform);
  Progress progress(context.out);
  CHECK(context.engine().upload(request, content_of(file ? file.get() : STDIN_FILENO),
                                [&](std::string_view bytes) { return progress.feed(bytes); }));
  CHECK(progress.finish());
  return 0;
}

Outcome<int> import(Context& context, const Invocation& invocation) {
  std::string source = invocation.argument(0);
  bool remote = source.starts_with("https://") || source.starts_with("http://");
  CHECK(check_platform(wanted_platform(invocation)));
  Request request{.method = "POST", .path = "/images/create", .content_type = "application/x-tar"};
  request.query.add("fromSrc", remote ? source : "-");
  if (invocation.arguments().size() > 1) request.query.add("repo", invocation.argument(1));
  request.query.add_unless_empty("message", invocation.text("message"));
  for (const std::string& change : invocation.list("change")) request.query.add("changes", change);
  request.query.add_unless_empty("platform", wanted_platform(invocation));
  Progress progress(context.out);
  auto show = [&](std::string_view bytes) { return progress.feed(bytes); };
  if (remote) {
    CHECK(context.engine().stream(request, show));
  } else {
    sys::UniqueFd file;
    if (source != "-") {
      TRY(file, open_input(source));
    } else if (::isatty(STDIN_FILENO) == 1) {
      return refuse("requested import from stdin, but stdin is a terminal");
    }
    CHECK(context.engine().upload(request, content_of(file ? file.get() : STDIN_FILENO), show));
  }
  CHECK(progress.finish());
  return 0;
}

Outcome<int> pull(Context& context, const Invocation& invocation) {
  TRY(auto reference, spec::Reference::parse(invocation.argument(0)));
  bool all = invocation.on("all-tags");
  bool quiet = invocation.on("quiet");
  if (all && !reference.is_name_only()) return refuse("tag can't be used with --all-tags/-a");
  if (!all && reference.is_name_only()) {
    reference = reference.with_default_tag();
    if (!quiet) context.out.line("Using default tag: latest");
  }
  const bool all_platforms = invocation.on("all-platforms");
  const std::string platform = all_platforms ? std::string() : wanted_platform(invocation);
  CHECK(check_platform(platform));
  if (all_platforms && invocation.given("platform"))
    return refuse("--platform can't be used with --all-platforms");
  CHECK(pull_image(context, context.out,
                   {.image = reference.familiar_string(),
                    .platform = platform,
                    .all_tags = all,
                    .all_platforms = all_platforms,
                    .quiet = quiet ? Progress::Quiet::Yes : Progress::Quiet::No}));
  context.out.line(reference.str());
  return 0;
}

Outcome<int> push(Context& context, const Invocation& invocation) {
  TRY(auto reference, spec::Reference::parse(invocation.argument(0)));
  bool all = invocation.on("all-tags");
  bool quiet = invocation.on("quiet");
  if (all && !reference.is_name_only()) return refuse("tag can't be used with --all-tags/-a");
  if (!all && reference.is_name_only()) {
    reference = reference.with_default_tag();
    if (!quiet) context.out.line("Using default tag: latest");
  }
  TRY(std::string platform, platform_json(invocation.text("platform")));
  TRY(client::Headers headers, registry_auth_header(context, reference.str()));
  // Old engines insist on the header, even if it says nothing.
  if (headers.empty()) headers.emplace_back("X-Registry-Auth", "e30=");
  Request request{
      .method = "POST", .path = image_path(reference.familiar_name(), "push"), .headers = headers};
  request.query.add_unless_empty("tag", reference.tag()).add_unless_empty("platform", platform);
  Progress progress(context.out, quiet ? Progress::Quiet::Yes : Progress::Quiet::No);
  CHECK(context.engine().stream(request, [&](std::string_view bytes) { return progress.feed(bytes); }));
  CHECK(progress.finish());
  if (quiet) context.out.line(reference.str());
  return 0;
}

Outcome<int> bootstrap(Context& context, const Invocation& invocation) {
  Query query;
  query.add("image", invocation.argument(0));
  bool quiet = invocation.on("quiet");
  std::string id;
  Progress progress(context.out, quiet ? Progress::Quiet::Yes : Progress::Quiet::No,
                    [&](const Json& aux) { id = json_string(aux, "ID").value_or(""); });
  CHECK(context.engine().stream({.method = "POST", .path = "/berth/bootstrap", .query = query},
                                [&](std::string_view bytes) { return progress.feed(bytes); }));
  CHECK(progress.finish());
  if (quiet && !id.empty()) context.out.line(id);
  return 0;
}

constexpr Flag platform_flag{
    .name = "platform", .type = Type::String, .help = "Platform of a multi-platform image (os/arch)"};
constexpr Flag trust_flag{
    .name = "disable-content-trust", .fallback = "true", .visibility = Visibility::Hidden};
constexpr std::array save_flags{
    Flag{'o', "output", Type::String, "Write to this file instead of standard output"}, platform_flag};
constexpr std::array load_flags{
    Flag{'i', "input", Type::String, "Read from this file instead of standard input"}, platform_flag,
    Flag{'q', "quiet", Type::Bool, "Say only what was loaded"}};
constexpr std::array import_flags{
    Flag{'c', "change", Type::List, "Apply a Dockerfile instruction to the image"},
    Flag{'m', "message", Type::String, "Comment of the image"},
    platform_flag,
};
constexpr std::array pull_flags{
    Flag{.name = "all-platforms", .help = "Keep the whole index, with the images of all platforms"},
    Flag{'a', "all-tags", Type::Bool, "Download all tags of the repository"}, trust_flag, platform_flag,
    Flag{'q', "quiet", Type::Bool, "Print only the image's name"}};
constexpr std::array push_flags{Flag{'a', "all-tags", Type::Bool, "Upload all tags of the repository"},
                                trust_flag, platform_flag,
                                Flag{'q', "quiet", Type::Bool, "Print only the image's name"}};
constexpr std::array bootstrap_flags{Flag{'q', "quiet", Type::Bool, "Print only the image's id"}};

}  // namespace

Outcome<void> pull_image(Context& context, output::Stream& out, const Pull& pull) {
  TRY(auto reference, spec::Reference::parse(pull.image));
  TRY(client::Headers headers, registry_auth_header(context, reference.str()));
  Request request{.method = "POST", .path = "/images/create", .headers = headers};
  std::string tag = reference.digest() ? reference.digest()->str() : reference.tag();
  if (tag.empty() && !pull.all_tags) tag = "latest";
  request.query.add("fromImage", reference.name()).add_unless_empty("tag", tag);
  request.query.add_unless_empty("platform", pull.platform).flag("allPlatforms", pull.all_platforms);
  Progress progress(out, pull.quiet);
  CHECK(context.engine().stream(request, [&](std::string_view bytes) { return progress.feed(bytes); }));
  CHECK(progress.finish());
  return {};
}

const Command save_command{.usage = "[OPTIONS] IMAGE [IMAGE...]",
                           .summary = "Write images to a tar archive",
                           .flags = save_flags,
                           .arity = grammar::at_least(1),
                           .action = save};
const Command load_command{
    .usage = "[OPTIONS]", .summary = "Load images from a tar archive", .flags = load_flags, .action = load};
const Command import_command{.usage = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
                             .summary = "Make an image of the root filesystem in a tar archive",
                             .flags = import_flags,
                             .arity = grammar::at_least(1),
                             .action = import};
const Command pull_command{.usage = "[OPTIONS] NAME[:TAG|@DIGEST]",
                           .summary = "Download an image from a registry",
                           .flags = pull_flags,
                           .arity = grammar::exactly(1),
                           .action = pull};
const Command push_command{.usage = "[OPTIONS] NAME[:TAG]",
                           .summary = "Upload an image to a registry",
                           .flags = push_flags,
                           .arity = grammar::exactly(1),
                           .action = push};
const Command bootstrap_command{
    .usage = "[OPTIONS] IMAGE",
    .summary = "Make a base image without a registry (busybox, debian:bookworm, ...)",
    .flags = bootstrap_flags,
    .arity = grammar::exactly(1),
    .action = bootstrap,
    .description =
        "Make a base image without a registry: \"busybox\" from the host's static busybox, \"debian:SUITE\"\n"
        "from the distribution's signed packages."};

}  // namespace berth::cli::commands
