// build.
#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>

#include "apps/berth/archive/build_context.h"
#include "apps/berth/archive/file_text.h"
#include "apps/berth/commands/build_calls.h"
#include "apps/berth/commands/build_elsewhere.h"
#include "apps/berth/commands/build_inputs.h"
#include "apps/berth/commands/build_outputs.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/registry_auth.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/build_caches.h"
#include "apps/berth/options/devices.h"
#include "apps/berth/options/key_values.h"
#include "apps/berth/options/links.h"
#include "apps/berth/options/secrets.h"
#include "apps/berth/output/progress.h"
#include "apps/berth/output/units.h"
#include "base/bytes.h"
#include "base/json.h"
#include "spec/reference.h"

namespace berth::cli::commands {
namespace {

using client::Query;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

constexpr size_t max_stdin_dockerfile = 16u << 20;

bool is_remote(const std::string& context) {
  for (std::string_view scheme : {"http://", "https://", "git://", "git@", "ssh://", "github.com/"}) {
    if (context.starts_with(scheme)) return true;
  }
  return false;
}

Result<std::string> check_tag(std::string_view value) {
  auto reference = spec::Reference::parse(value);
  if (!reference) return reference.error();
  return std::string(value);
}

/// Names without value stay null: the engine takes them from the Dockerfile's defaults.
Json build_arguments(Context& context, const Invocation& invocation) {
  auto flags = invocation.list("build-arg");
  Json arguments = Json::object();
  for (const std::string& proxy : context.configuration().proxy_variables(context.endpoint().str(), flags)) {
    size_t equals = proxy.find('=');
    arguments[proxy.substr(0, equals)] = proxy.substr(equals + 1);
  }
  for (const std::string& flag : flags) {
    size_t equals = flag.find('=');
    arguments[flag.substr(0, equals)] = equals == std::string::npos ? Json() : Json(flag.substr(equals + 1));
  }
  return arguments;
}

enum class Naming { No, Yes };

/// `platform` empty: the host's. Without names they come when the image is delivered.
Outcome<Query> build_query(Context& context, const Invocation& invocation, const std::string& platform,
                           Naming naming) {
  Query query;
  if (naming == Naming::Yes)
    for (const std::string& tag : invocation.list("tag")) query.add("t", tag);
  query.add_unless_empty("platform", platform);
  query.flag("q", invocation.on("quiet"))
      .flag("nocache", invocation.on("no-cache"))
      .flag("pull", invocation.on("pull"));
  query.flag("forcerm", invocation.on("force-rm")).flag("squash", invocation.on("squash"));
  query.add("rm", invocation.on("rm") ? "1" : "0");
  // What docker's classic builder leaves behind is for docker's clients.
  query.add("classic", "0");
  for (auto [flag, key] : {std::pair{"cgroup-parent", "cgroupparent"},
                           {"cpuset-cpus", "cpusetcpus"},
                           {"cpuset-mems", "cpusetmems"},
                           {"isolation", "isolation"},
                           {"network", "networkmode"},
                           {"target", "target"}}) {
    query.add_unless_empty(key, invocation.text(flag));
  }
  for (auto [flag, key] : {std::pair{"memory", "memory"},
                           {"memory-swap", "memswap"},
                           {"cpu-shares", "cpushares"},
                           {"cpu-period", "cpuperiod"},
                           {"cpu-quota", "cpuquota"},
                           {"shm-size", "shmsize"}}) {
    if (invocation.given(flag)) query.add(key, fmt::format("{}", invocation.number(flag)));
  }
  if (Json arguments = build_arguments(context, invocation); !arguments.empty()) {
    query.add("buildargs", to_json(arguments));
  }
  if (invocation.given("label")) query.add("labels", to_json(options::to_map(invocation.list("label"))));
  if (invocation.given("security-opt")) query.add("securityopt", to_json(invocation.list("security-opt")));
  Json limits = Json::array();
  for (const std::string& value : invocation.list("ulimit")) {
    TRY(Json limit, options::parse_ulimit(value));
    limits.push_back(std::move(limit));
  }
  if (!limits.empty()) query.add("ulimits", to_json(limits));
  for (const std::string& host : invocation.list("add-host")) query.add("extrahosts", host);
  return query;
}

/// The last line about the context: in place while it grows on a terminal, one plain line elsewhere.
class ContextMeter {
 public:
  ContextMeter(output::Stream& out, bool quiet) : out_(out), quiet_(quiet), terminal_(out.is_terminal()) {}
  void add(size_t bytes) {
    bytes_ += bytes;
    auto now = std::chrono::steady_clock::now();
    if (quiet_ || !terminal_ || now - shown_ < std::chrono::milliseconds(100)) return;
    shown_ = now;
    out_.print("\r\x1b[2K{}", text());
    out_.flush();
  }
  void finish() {
    if (quiet_) return;
    out_.print("{}{}\n", terminal_ ? "\r\x1b[2K" : "", text());
    out_.flush();
  }

 private:
  std::string text() const {
    return fmt::format("Sending build context to berth daemon  {}",
                       output::human_size(static_cast<double>(bytes_)));
  }
  output::Stream& out_;
  bool quiet_;
  bool terminal_;
  uint64_t bytes_ = 0;
  std::chrono::steady_clock::time_point shown_ = {};
};

/// Reads until `size` bytes or the end.
Outcome<std::string> read_beginning(size_t size) {
  std::string bytes;
  while (bytes.size() < size) {
    char buffer[4096];
    ssize_t got = ::read(STDIN_FILENO, buffer, std::min(sizeof buffer, size - bytes.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno("read", "standard input", errno);
    if (got == 0) break;
    bytes.append(buffer, static_cast<size_t>(got));
  }
  return bytes;
}

class Build {
 public:
  Build(Context& context, const Invocation& invocation, std::string platform, Naming naming)
      : context_(context),
        invocation_(invocation),
        platform_(std::move(platform)),
        naming_(naming),
        quiet_(invocation.on("quiet")),
        meter_(context.out, quiet_),
        progress_(context.out, quiet_ ? output::Progress::Quiet::Yes : output::Progress::Quiet::No,
                  [this](const Json& aux) {
                    if (auto id = json_string(aux, "ID"); id && !id->empty()) image_id_ = *id;
                    inputs_.caches().answer(aux);
                  }),
        inputs_(context) {}

  /// The image's id; empty: an engine of others did not tell it.
  Outcome<std::string> run() {
    TRY(Query query, build_query(context_, invocation_, platform_, naming_));
    TRY(client::Headers headers, registry_config_header(context_));
    client::Request request{.method = "POST",
                            .path = "/build",
                            .query = std::move(query),
                            .headers = std::move(headers),
                            .content_type = "application/x-tar"};
    if (BuildInputs::needed(invocation_)) {
      TRY(const bool ours, knows_builds_of_ours(context_));
      if (ours) {
        TRY(preamble_, inputs_.first_line(invocation_, !is_remote(invocation_.argument(0))));
        request.path = "/berth/build";
        request.content_type = "application/vnd.berth.build";
        request.query.add("progress", "classic");
      } else {
        CHECK(use_classic_builder(context_, invocation_, request.query));
      }
    }
    CHECK(send(request));
    CHECK(progress_.finish());
    CHECK(inputs_.caches().outcome());
    return image_id_;
  }

 private:
  Outcome<void> send(client::Request& request) {
    const std::string& source = invocation_.argument(0);
    std::string file = invocation_.text("file");
    if (is_remote(source)) return from_remote(request, source, file);
    if (source == "-") return from_stdin(request, file);
    TRY(auto context, archive::examine_context(source, file));
    request.query.add("dockerfile", context.dockerfile);
    return upload(request,
                  [&](const archive::WriteBytes& write) { return archive::write_context(context, write); });
  }

  Outcome<void> from_remote(client::Request& request, const std::string& source, const std::string& file) {
    if (file == "-")
      return refuse("a Dockerfile from standard input cannot be combined with a remote context");
    request.query.add("remote", source).add_unless_empty("dockerfile", file);
    request.body = preamble_;
    CHECK(context_.engine().stream(request, [&](std::string_view bytes) { return progress_.feed(bytes); }));
    return {};
  }

  Outcome<void> from_stdin(client::Request& request, const std::string& file) {
    if (file == "-") return refuse("invalid argument: can't use stdin for both build context and dockerfile");
    TRY(std::string beginning, read_beginning(512));
    if (archive::looks_like_archive(beginning)) {
      request.query.add("dockerfile", file.empty() ? "Dockerfile" : file);
      return upload(request, [&](const archive::WriteBytes& write) -> Outcome<void> {
        CHECK(write(beginning));
        while (true) {
          TRY(std::string piece, read_beginning(256 * 1024));
          if (piece.empty()) return {};
          CHECK(write(piece));
        }
      });
    }
    if (!file.empty())
      return refuse("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles");
    TRY(std::string rest, archive::read_text("-", max_stdin_dockerfile));
    request.query.add("dockerfile", "Dockerfile");
    std::string dockerfile = beginning + rest;
    return upload(request, [&](const archive::WriteBytes& write) {
      return archive::write_dockerfile_alone(dockerfile, write);
    });
  }

  Outcome<void> upload(const client::Request& request,
                       const std::function<Outcome<void>(const archive::WriteBytes&)>& produce) {
    bool announced = false;
    auto announce = [&] {
      if (!std::exchange(announced, true)) meter_.finish();
    };
    CHECK(context_.engine().upload(
        request,
        [&](client::BodyWriter& body) -> Outcome<void> {
          if (!preamble_.empty()) CHECK(body.write(preamble_));
          CHECK(produce([&](std::string_view bytes) -> Outcome<void> {
            if (!announced) meter_.add(bytes.size());
            return body.write(bytes);
          }));
          announce();
          return {};
        },
        [&](std::string_view bytes) {
          announce();
          return progress_.feed(bytes);
        }));
    return {};
  }

  Context& context_;
  const Invocation& invocation_;
  std::string platform_;
  Naming naming_;
  bool quiet_;
  ContextMeter meter_;
  output::Progress progress_;
  std::string image_id_;
  BuildInputs inputs_;
  std::string preamble_;  ///< of /berth/build
};

/// Builds for every platform, then does with the images what the flags say.
Outcome<std::string> build_and_deliver(Context& context, const Invocation& invocation,
                                       BuildOutputs& outputs) {
  if (outputs.is_plain()) {
    TRY(std::string image, Build(context, invocation, outputs.platforms().front(), Naming::Yes).run());
    CHECK(outputs.tell(image));
    return image;
  }
  std::vector<BuildOutputs::Built> images;
  for (const std::string& platform : outputs.platforms()) {
    if (outputs.platforms().size() > 1 && !invocation.on("quiet")) {
      context.out.line("Building for " + platform);
      context.out.flush();
    }
    TRY(std::string image, Build(context, invocation, platform, Naming::No).run());
    if (image.empty()) return refuse("the engine named no image for {}", platform);
    images.push_back({platform, std::move(image)});
  }
  return outputs.deliver(images);
}

Outcome<int> build(Context& context, const Invocation& invocation) {
  if (is_build_call(invocation)) return answer_build_call(context, invocation);
  constexpr std::array<std::string_view, 4> displays{"auto", "plain", "tty", "quiet"};
  const std::string display = invocation.text("progress");
  if (std::find(displays.begin(), displays.end(), display) == displays.end())
    return refuse("invalid progress mode \"{}\": berth has auto, plain, tty and quiet", display);
  const std::string id_file = invocation.text("iidfile");
  // A stale id must not pass for the result of a build that failed.
  if (!id_file.empty()) ::unlink(id_file.c_str());
  TRY(BuildOutputs outputs, BuildOutputs::create(context, invocation));
  TRY(const std::string image, build_and_deliver(context, invocation, outputs));
  if (!id_file.empty()) {
    if (image.empty()) return refuse("server did not provide an image ID. Cannot write {}", id_file);
    CHECK(archive::write_text(id_file, image, 0666));
  }
  if (invocation.on("quiet") && !image.empty()) context.out.line(image);
  return 0;
}

constexpr Flag hidden(const char* name, Type type, const char* fallback = "") {
  return {.name = name, .type = type, .fallback = fallback, .visibility = Visibility::Hidden};
}

constexpr std::array flags{
    Flag{.name = "add-host",
         .type = Type::List,
         .help = "Add a line to /etc/hosts (host:ip)",
         .check = options::check_extra_host},
    Flag{.name = "annotation",
         .type = Type::List,
         .help = "Annotation of the image's manifest: KEY=VALUE, or index:KEY=VALUE",
         .check = options::check_annotation},
    Flag{.name = "build-arg",
         .type = Type::List,
         .help = "Value for an ARG (NAME=value)",
         .check = options::check_environment},
    Flag{.name = "build-context",
         .type = Type::List,
         .help = "Context by name, for FROM and --from: NAME=PATH or NAME=docker-image://IMAGE",
         .check = check_build_context},
    Flag{.name = "cache-from",
         .type = Type::List,
         .help = "Build cache to read: IMAGE, type=registry,ref=NAME or type=local,src=DIR",
         .check = options::check_cache_from},
    Flag{.name = "cache-to",
         .type = Type::List,
         .help = "Build cache to write: type=registry,ref=NAME, type=local,dest=DIR or type=inline",
         .check = options::check_cache_to},
    Flag{.name = "call",
         .type = Type::String,
         .help =
             "Answer about the Dockerfile instead of building it: check, outline or targets (,format=json)"},
    Flag{.name = "check", .help = "Check the Dockerfile instead of building it (--call check)"},
    Flag{.name = "cgroup-parent", .type = Type::String, .help = "Parent of the cgroups of RUN"},
    hidden("compress", Type::Bool),
    Flag{.name = "cpu-period", .type = Type::Int, .help = "Length of a CPU period in microseconds"},
    Flag{.name = "cpu-quota", .type = Type::Int, .help = "Microseconds of CPU time per period"},
    Flag{'c', "cpu-shares", Type::Int, "CPU shares (relative weight)"},
    Flag{.name = "cpuset-cpus", .type = Type::String, .help = "CPUs to run on (0-3, 0,1)"},
    Flag{.name = "cpuset-mems", .type = Type::String, .help = "Memory nodes to use (0-3, 0,1)"},
    hidden("disable-content-trust", Type::Bool, "true"),
    Flag{'f', "file", Type::String, "The Dockerfile (default: PATH/Dockerfile; '-' for standard input)"},
    Flag{.name = "force-rm", .help = "Remove intermediate containers even if the build fails"},
    Flag{.name = "iidfile", .type = Type::String, .help = "Write the image's id to this file"},
    hidden("isolation", Type::String),
    Flag{.name = "label",
         .type = Type::List,
         .help = "Label of the image (key=value)",
         .check = options::check_label},
    Flag{.name = "load", .help = "Keep the image in the engine, beside other outputs"},
    Flag{'m', "memory", Type::Bytes, "Memory limit"},
    Flag{.name = "memory-swap",
         .type = Type::SwapBytes,
         .help = "Limit of memory and swap together; -1 for unlimited swap"},
    Flag{
        .name = "metadata-file", .type = Type::String, .help = "Write digests and names to this file (JSON)"},
    Flag{.name = "network", .type = Type::String, .help = "Network of RUN", .fallback = "default"},
    Flag{.name = "no-cache", .help = "Do not use the cache"},
    Flag{.letter = 'o',
         .name = "output",
         .type = Type::List,
         .help = "Where the result goes: a directory, or type=image|registry|oci|docker|local|tar,dest=PATH",
         .check = options::check_build_output},
    Flag{.name = "platform", .type = Type::Strings, .help = "Platforms to build for (os/arch,os/arch)"},
    hidden("progress", Type::String, "auto"),
    hidden("provenance", Type::String),
    Flag{.name = "push", .help = "Push the image (--output type=registry)"},
    Flag{.name = "pull", .help = "Look for newer versions of the base images"},
    Flag{'q', "quiet", Type::Bool, "Print only the image's id"},
    Flag{.name = "rm", .help = "Remove intermediate containers after the build", .fallback = "true"},
    hidden("sbom", Type::String),
    Flag{.name = "secret",
         .type = Type::List,
         .help = "File for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE",
         .check = options::check_secret},
    Flag{.name = "security-opt", .type = Type::Strings, .help = "Security options"},
    Flag{.name = "shm-size", .type = Type::Bytes, .help = "Size of /dev/shm"},
    hidden("squash", Type::Bool),
    Flag{.name = "ssh",
         .type = Type::List,
         .help = "SSH agent for RUN --mount=type=ssh: default, ID=SOCKET, or ID=KEY",
         .check = check_ssh},
    Flag{'t', "tag", Type::List, "Name of the image (name[:tag])", "", check_tag},
    Flag{.name = "target", .type = Type::String, .help = "Stage to build"},
    Flag{.name = "ulimit",
         .type = Type::Ulimit,
         .help = "Limit of resources (name=soft[:hard])",
         .check = options::check_ulimit},
};

}  // namespace

const Command build_command{.usage = "[OPTIONS] PATH | URL | -",
                            .summary = "Build an image from a Dockerfile",
                            .flags = flags,
                            .arity = grammar::exactly(1),
                            .action = build};

}  // namespace berth::cli::commands
