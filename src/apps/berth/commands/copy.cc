// cp: files between containers and the local filesystem.
#include <unistd.h>

#include <array>
#include <chrono>

#include "apps/berth/archive/copy_path.h"
#include "apps/berth/archive/local_tree.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/commands/transfer.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/mounts.h"
#include "apps/berth/output/stream.h"
#include "apps/berth/output/units.h"
#include "base/bytes.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using archive::CopyDestination;
using archive::CopyPlan;
using archive::CopySource;
using client::path_of;
using client::Query;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

// Bits of Go's FileMode in X-Docker-Container-Path-Stat.
constexpr int64_t mode_directory = 1LL << 31;
constexpr int64_t mode_symlink = 1LL << 27;
constexpr int64_t mode_special = (1LL << 26) | (1LL << 19);  // device, irregular

struct PathStatus {
  int64_t mode = 0;
  std::string link_target;
  bool is_directory() const { return (mode & mode_directory) != 0; }
  bool is_link() const { return (mode & mode_symlink) != 0; }
};

Outcome<PathStatus> status_in(const client::ResponseHead& head) {
  TRY(std::string text, from_base64(head.header("x-docker-container-path-stat")));
  TRY(Json json, parse_json(text));
  PathStatus status;
  TRY(status.mode, json_int(json, "mode"));
  TRY(status.link_target, json_string(json, "linkTarget"));
  return status;
}

Outcome<PathStatus> stat_path(Context& context, const std::string& container, const std::string& path) {
  TRY(auto reply, context.engine().call({.method = "HEAD",
                                         .path = path_of("containers", container, "archive"),
                                         .query = Query().add("path", path)}));
  return status_in(reply.head);
}

/// A link's target as a path of the container.
std::string resolved(const std::string& link, const std::string& target) {
  if (target.starts_with('/')) return target;
  return archive::split_path(link).folder + "/" + target;
}

/// How much has been copied, rewritten in place on a terminal a few times a second.
class Meter {
 public:
  Meter(output::Stream& err, std::string_view title, bool quiet)
      : err_(err), quiet_(quiet || !err.is_terminal()), title_(title) {}
  void add(size_t bytes) {
    total_ += bytes;
    auto now = std::chrono::steady_clock::now();
    if (quiet_ || now - shown_ < std::chrono::milliseconds(75)) return;
    shown_ = now;
    err_.print("\r\x1b[2K{}{}", title_, output::human_size(static_cast<double>(total_), 3));
    err_.flush();
  }
  void finish(bool announce, std::string_view where) {
    if (!quiet_) err_.write("\r\x1b[2K");
    if (announce) {
      err_.print("Successfully copied {} to {}\n", output::human_size(static_cast<double>(total_), 3), where);
    }
    err_.flush();
  }

 private:
  output::Stream& err_;
  bool quiet_;
  std::string title_;
  uint64_t total_ = 0;
  std::chrono::steady_clock::time_point shown_ = {};
};

struct Copy {
  std::string container;
  std::string inside;
  std::string outside;
  bool follow_link = false;
  bool keep_owner = false;
  bool quiet = false;
};

Outcome<int> from_container(Context& context, const Copy& copy) {
  std::string destination = copy.outside;
  if (destination != "-") {
    destination = archive::keep_ending(options::absolute_path(destination), destination);
    CHECK(archive::check_output_path(destination));
  }
  CopySource source{copy.inside};
  if (copy.follow_link) {
    if (auto status = stat_path(context, copy.container, source.path); status && status->is_link()) {
      auto followed = archive::follow(source.path, resolved(source.path, status->link_target));
      source.path = followed.path;
      source.name = followed.name;
    }
  }
  TRY(auto answer, context.engine().open_answer({.path = path_of("containers", copy.container, "archive"),
                                                 .query = Query().add("path", source.path)}));
  if (destination == "-") {
    while (true) {
      TRY(std::string_view piece, answer.next());
      if (piece.empty()) return 0;
      context.out.write(piece);
    }
  }
  TRY(PathStatus status, status_in(answer.head()));
  source.is_directory = status.is_directory();
  TRY(CopyDestination target, archive::examine_destination(destination));
  TRY(CopyPlan plan, archive::plan_copy(source, target));
  // The archive carries the name of what was asked for; a followed link appears under its own.
  std::string in_archive = archive::split_path(source.path).base;
  if (plan.old_name != in_archive) {
    if (plan.new_name == plan.old_name) plan.new_name = source.name;
    plan.old_name = in_archive;
  }
  Meter meter(context.err, "Copying from container - ", copy.quiet);
  CHECK(archive::read_archive(plan, [&]() -> Outcome<std::string_view> {
    auto piece = answer.next();
    if (piece) meter.add(piece->size());
    return piece;
  }));
  meter.finish(!copy.quiet, destination);
  return 0;
}

/// Where a path of the container leads, and what is there. Failures are left to the transfer itself, which
/// may succeed nevertheless (a destination that does not exist yet).
Outcome<CopyDestination> examine_inside(Context& context, const Copy& copy) {
  CopyDestination target{copy.inside};
  auto status = stat_path(context, copy.container, copy.inside);
  if (status && status->is_link()) {
    target.path = resolved(copy.inside, status->link_target);
    status = stat_path(context, copy.container, target.path);
  }
  if (!status) return target;
  if ((status->mode & mode_special) != 0) {
    return refuse("destination \"{}:{}\" must be a directory or a regular file", copy.container, copy.inside);
  }
  target.exists = true;
  target.is_directory = status->is_directory();
  return target;
}

Outcome<void> put(Context& context, const Copy& copy, const std::string& folder,
                  const client::Producer& produce) {
  client::Request request{.method = "PUT",
                          .path = path_of("containers", copy.container, "archive"),
                          .content_type = "application/x-tar"};
  request.query.add("path", folder).add("noOverwriteDirNonDir", "true");
  if (copy.keep_owner) request.query.add("copyUIDGID", "true");
  CHECK(context.engine().upload(request, produce, [](std::string_view) { return Outcome<void>(); }));
  return {};
}

Outcome<int> to_container(Context& context, const Copy& copy) {
  if (copy.outside == "-") {
    TRY(CopyDestination target, examine_inside(context, copy));
    if (!target.is_directory) {
      return refuse("destination \"{}:{}\" must be a directory", copy.container, copy.inside);
    }
    CHECK(put(context, copy, target.path, content_of(STDIN_FILENO)));
    return 0;
  }
  std::string path = archive::keep_ending(options::absolute_path(copy.outside), copy.outside);
  TRY(CopyDestination target, examine_inside(context, copy));
  TRY(CopySource source, archive::examine_source(path, copy.follow_link));
  TRY(CopyPlan plan, archive::plan_copy(source, target));
  Meter meter(context.err, "Copying to container - ", copy.quiet);
  CHECK(put(context, copy, plan.folder, [&](client::BodyWriter& body) {
    return archive::write_archive(source, plan.new_name, [&](std::string_view bytes) {
      meter.add(bytes.size());
      return body.write(bytes);
    });
  }));
  meter.finish(!copy.quiet, fmt::format("{}:{}", copy.container, target.path));
  return 0;
}

Outcome<int> copy(Context& context, const Invocation& invocation) {
  if (invocation.argument(0).empty()) return refuse("source can not be empty");
  if (invocation.argument(1).empty()) return refuse("destination can not be empty");
  auto source = archive::split_argument(invocation.argument(0));
  auto target = archive::split_argument(invocation.argument(1));
  bool out = !source.container.empty();
  if (out && !target.container.empty()) return refuse("copying between containers is not supported");
  if (!out && target.container.empty()) return refuse("must specify at least one container source");
  Copy copy{.container = out ? source.container : target.container,
            .inside = out ? source.path : target.path,
            .outside = out ? target.path : source.path,
            .follow_link = invocation.on("follow-link"),
            .keep_owner = invocation.on("archive"),
            .quiet = invocation.given("quiet") ? invocation.on("quiet") : !context.out.is_terminal()};
  return out ? from_container(context, copy) : to_container(context, copy);
}

constexpr std::array flags{
    Flag{'a', "archive", Type::Bool, "Keep owner and group (into a container)"},
    Flag{'L', "follow-link", Type::Bool, "Copy what a link in SRC_PATH leads to"},
    Flag{'q', "quiet", Type::Bool, "Do not show progress; as if no terminal were there"},
};

}  // namespace

const Command copy_command{
    .usage = "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-",
    .summary = "Copy files between a container and the local filesystem",
    .flags = flags,
    .arity = grammar::exactly(2),
    .action = copy,
    .description =
        "Copy files between a container and the local filesystem\n\n"
        "As a source, '-' reads a tar archive from standard input and unpacks it into a\n"
        "directory of the container. As a destination, '-' writes a tar archive of the\n"
        "container's files to standard output.",
    .second_usage = "[OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH"};

}  // namespace berth::cli::commands
