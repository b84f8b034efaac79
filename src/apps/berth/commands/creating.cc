// create, and what run shares with it.
#include "apps/berth/commands/creating.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/platform.h"
#include "apps/berth/commands/pulling.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/container_flags.h"
#include "apps/berth/options/ip_address.h"
#include "apps/berth/options/secrets.h"
#include "apps/berth/output/stream.h"
#include "apps/berth/terminal/raw_mode.h"
#include "base/json.h"
#include "spec/reference.h"

namespace berth::cli::commands {
namespace {

using grammar::Invocation;

/// --cidfile: made before the container, so that two runs cannot share it, and gone again if there is no
/// container.
class IdFile {
 public:
  static Outcome<IdFile> create(const std::string& path) {
    IdFile file;
    if (path.empty()) return file;
    file.fd_.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!file.fd_ && errno == EEXIST) {
      return refuse("container ID file found, make sure the other container isn't running or delete {}",
                    path);
    }
    if (!file.fd_)
      return refuse("failed to create the container ID file: {}",
                    Error::from_errno("open", path, errno).message());
    file.path_ = path;
    return file;
  }
  IdFile(IdFile&& other) noexcept : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}
  IdFile& operator=(IdFile&&) = delete;
  ~IdFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  Outcome<void> write(const std::string& id) {
    if (path_.empty()) return {};
    int error = output::write_fully(fd_.get(), id);
    if (error != 0) return Error::from_errno("write the container ID to the file", path_, error);
    path_.clear();
    return {};
  }

 private:
  IdFile() = default;
  std::string path_;
  sys::UniqueFd fd_;
};

Outcome<void> pull_for(Context& context, const Invocation& invocation, const std::string& image) {
  return pull_image(
      context, context.err,
      {.image = image,
       .platform = wanted_platform(invocation),
       .quiet = invocation.on("quiet") ? output::Progress::Quiet::Yes : output::Progress::Quiet::No});
}

bool lacks_image(const Failure& failure) {
  return failure.not_found() && failure.message.find("o such image") != std::string::npos;
}

Outcome<Json> create_or_pull(Context& context, const Invocation& invocation, const client::Request& request,
                             const std::string& image) {
  std::string policy = invocation.text("pull");
  if (policy == "always") CHECK(pull_for(context, invocation, image));
  auto reply = context.engine().call(request);
  auto reference = spec::Reference::parse(image);
  if (!reply && lacks_image(reply.error()) && reference && (policy == "missing" || policy.empty())) {
    if (!invocation.on("quiet")) {
      context.err.print("Unable to find image '{}' locally\n",
                        reference->with_default_tag().familiar_string());
      context.err.flush();
    }
    CHECK(pull_for(context, invocation, image));
    reply = context.engine().call(request);
  }
  if (!reply) return reply.error();
  TRY(Json json, parse_json(reply->body));
  return json;
}

struct GivenSecret {
  options::Secret secret;
  std::string content;
};

/// Before there is a container: a file that cannot be read is no reason to make one.
Outcome<std::vector<GivenSecret>> read_secrets(const Invocation& invocation) {
  std::vector<GivenSecret> secrets;
  for (const std::string& text : invocation.list("secret")) {
    TRY(auto secret, options::parse_secret(text));
    TRY(std::string content, options::read_secret(secret));
    secrets.push_back({std::move(secret), std::move(content)});
  }
  return secrets;
}

/// Each goes beside the container's configuration, so that no inspect shows it.
Outcome<void> hand_over_secrets(Context& context, const std::vector<GivenSecret>& secrets,
                                const std::string& id) {
  for (const auto& [secret, content] : secrets) {
    client::Query query;
    query.add("uid", std::to_string(secret.uid)).add("gid", std::to_string(secret.gid));
    query.add("mode", std::to_string(secret.mode));
    CHECK(context.engine().call({.method = "PUT",
                                 .path = "/berth" + client::path_of("containers", id, "secrets/" + secret.id),
                                 .query = query,
                                 .body = content,
                                 .content_type = "application/octet-stream"}));
  }
  return {};
}

Outcome<void> check_pull_policy(const std::string& policy) {
  for (std::string_view known : {"always", "missing", "never", ""}) {
    if (policy == known) return {};
  }
  return refuse("invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"", policy);
}

Outcome<int> create(Context& context, const Invocation& invocation) {
  auto made = [&]() -> Outcome<std::string> {
    TRY(auto config, options::container_config(invocation, config_context(context, invocation)));
    return create_container(context, invocation, config);
  }();
  if (!made) {
    bool refused = made.error().origin == Failure::Origin::Daemon;
    return refused ? made.error() : with_hint(made.error(), "create");
  }
  context.out.line(*made);
  return 0;
}

}  // namespace

options::ConfigContext config_context(Context& context, const Invocation& invocation) {
  options::ConfigContext result;
  result.proxies = context.configuration().proxy_variables(context.endpoint().str(), invocation.list("env"));
  auto size = terminal::size_of(STDOUT_FILENO);
  result.rows = size.rows;
  result.columns = size.columns;
  if (context.endpoint().scheme == client::Endpoint::Scheme::Unix)
    result.api_socket = context.endpoint().address;
  return result;
}

Outcome<std::string> create_container(Context& context, const Invocation& invocation,
                                      const options::ContainerConfig& config) {
  CHECK(check_pull_policy(invocation.text("pull")));
  CHECK(check_platform(wanted_platform(invocation)));
  TRY(auto secrets, read_secrets(invocation));
  TRY(IdFile id_file, IdFile::create(invocation.text("cidfile")));
  client::Request request{.method = "POST", .path = "/containers/create", .body = config.body};
  request.query.add_unless_empty("name", invocation.text("name"));
  request.query.add_unless_empty("platform", wanted_platform(invocation));
  TRY(Json created, create_or_pull(context, invocation, request, config.image));
  TRY(std::string id, json_string(created, "Id"));
  for (const std::string& server : config.dns) {
    auto address = options::parse_ip(server);
    if (address && address->is_loopback()) {
      context.warn(fmt::format("Localhost DNS ({}) may fail in containers.", server));
    }
  }
  for (const std::string& warning : json_strings(created, "Warnings").value_or(std::vector<std::string>())) {
    context.warn(warning);
  }
  if (auto handed = hand_over_secrets(context, secrets, id); !handed) {
    (void)context.engine().call({.method = "DELETE", .path = client::path_of("containers", id)});
    return handed.error();
  }
  CHECK(id_file.write(id));
  return id;
}

Failure with_hint(const Failure& failure, std::string_view command) {
  if (failure.origin == Failure::Origin::Silent) return failure;
  std::string text = failure.text();
  auto contains = [&](std::string_view part) { return text.find(part) != std::string::npos; };
  int exit_code = 125;
  if (contains("executable file not found") || contains("no such file or directory")) {
    exit_code = 127;
  } else if (contains("permission denied") || contains("is a directory")) {
    exit_code = 126;
  }
  // Before there is a container, nothing of what failed was the container's.
  if (failure.origin != Failure::Origin::Daemon) exit_code = 125;
  return Failure::client(fmt::format("{}\n\nRun 'berth {} --help' for more information", text, command),
                         exit_code);
}

const Command create_command{.usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
                             .summary = "Create a container without starting it",
                             .more_flags = options::container_flags(),
                             .arity = grammar::at_least(1),
                             .action = create,
                             .placement = grammar::FlagPlacement::BeforeArguments};

}  // namespace berth::cli::commands
