// Secrets, agents and contexts of a build.
#include "apps/berth/commands/build_inputs.h"

#include <sys/stat.h>

#include <algorithm>
#include <climits>
#include <cstdlib>

#include "apps/berth/archive/build_context.h"
#include "apps/berth/options/secrets.h"
#include "apps/berth/output/progress.h"
#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/git_place.h"

namespace berth::cli::commands {
namespace {

constexpr std::string_view image_scheme = "docker-image://";
/// Holds a directory and nothing else; COPY --from reads it.
constexpr std::string_view directory_dockerfile = "FROM scratch\nCOPY . /\n";

std::string real_path(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) == nullptr ? path : std::string(resolved);
}

std::vector<std::string> split_paths(const std::string& text) {
  std::vector<std::string> paths;
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    paths.push_back(text.substr(start, comma - start));
    start = comma + 1;
  }
  return paths;
}

/// Whether the paths of one --ssh value are keys; if not, they are one agent's socket.
Outcome<bool> are_keys(const std::string& flag, const std::vector<std::string>& paths) {
  size_t sockets = 0;
  for (const std::string& path : paths) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0)
      return refuse("--ssh {}: there is no {}: start ssh-agent, or name the file of a key", flag, path);
    if (S_ISSOCK(status.st_mode)) ++sockets;
  }
  if (sockets == 0) return true;
  if (paths.size() > 1) return refuse("--ssh {}: one agent for an id, or files of keys", flag);
  return false;
}

Outcome<std::string> agent_of_the_environment(const std::string& flag) {
  const char* variable = std::getenv("SSH_AUTH_SOCK");
  if (variable == nullptr || *variable == 0)
    return refuse("invalid empty ssh agent socket: --ssh {} needs SSH_AUTH_SOCK, which ssh-agent sets", flag);
  return std::string(variable);
}

}  // namespace

Result<std::string> check_ssh(std::string_view text) {
  if (text.empty() || text.front() == '=')
    return failure(Kind::InvalidArgument, "invalid ssh agent \"{}\": default, ID, ID=SOCKET or ID=KEY", text);
  return std::string(text);
}

Result<std::string> check_build_context(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals == 0 || equals + 1 == text.size())
    return failure(Kind::InvalidArgument, "invalid context value: {}, expected key=value", text);
  return std::string(text);
}

BuildInputs::~BuildInputs() {
  for (const std::string& image : images_)
    (void)context_.engine().call({.method = "DELETE", .path = "/images/" + image});
}

/// The socket of one --ssh value.
Outcome<std::string> BuildInputs::agent_socket(const std::string& flag, std::string value) {
  if (value.empty()) {
    TRY(value, agent_of_the_environment(flag));
  }
  const auto paths = split_paths(value);
  TRY(const bool keys, are_keys(flag, paths));
  if (!keys) return real_path(value);
  TRY(auto agent, KeyAgent::start(flag, paths));
  key_agents_.push_back(std::move(agent));
  return key_agents_.back()->socket();
}

Outcome<Json> BuildInputs::agents(const std::vector<std::string>& flags) {
  Json agents = Json::object();
  if (!flags.empty() && context_.endpoint().scheme != client::Endpoint::Scheme::Unix) {
    return refuse(
        "--ssh needs an engine on this machine, not {}: build with docker's buildx plugin, which forwards "
        "agents",
        context_.endpoint().str());
  }
  for (const std::string& flag : flags) {
    const size_t equals = flag.find('=');
    const std::string id = flag.substr(0, equals);
    TRY(agents[id],
        agent_socket(flag, equals == std::string::npos ? std::string() : flag.substr(equals + 1)));
  }
  return agents;
}

Outcome<std::string> BuildInputs::send_directory(const std::string& name, const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    return refuse("the build context {}: {} is no directory", name, path);
  // Without a Dockerfile of its own; the ignore file goes along, as it does with every context.
  archive::BuildContext directory{.folder = real_path(path), .dockerfile = ".dockerignore"};
  return make_image(
      name, {{"Dockerfile", directory_dockerfile}, {"Context", true}}, [&](client::BodyWriter& body) {
        return archive::write_context(
            directory, [&](std::string_view bytes) -> Outcome<void> { return body.write(bytes); });
      });
}

Outcome<std::string> BuildInputs::fetch_repository(const std::string& name, const std::string& url,
                                                   const Json& agents) {
  // An image of the repository's files: variables in its address would be the Dockerfile's.
  std::string plain;
  for (const char c : url) plain += c == '$' ? std::string("\\$") : std::string(1, c);
  const std::string dockerfile = fmt::format("FROM scratch\nADD {}\n", to_json(Json::array({plain, "/"})));
  return make_image(name, {{"Dockerfile", dockerfile}, {"Context", false}, {"Agents", agents}},
                    [](client::BodyWriter&) { return Outcome<void>(); });
}

Outcome<std::string> BuildInputs::make_image(
    const std::string& name, const Json& inputs,
    const std::function<Outcome<void>(client::BodyWriter&)>& write_context) {
  std::string id;
  output::Progress progress(context_.out, output::Progress::Quiet::Yes, [&id](const Json& aux) {
    if (auto found = json_string(aux, "ID"); found && !found->empty()) id = *found;
  });
  client::Request request{
      .method = "POST", .path = "/berth/build", .content_type = "application/vnd.berth.build"};
  request.query.add("progress", "classic");
  CHECK(context_.engine().upload(
      request,
      [&](client::BodyWriter& body) -> Outcome<void> {
        CHECK(body.write(to_json(inputs) + "\n"));
        return write_context(body);
      },
      [&](std::string_view bytes) { return progress.feed(bytes); }));
  CHECK(progress.finish());
  if (id.empty()) return refuse("the engine named no image for the build context {}", name);
  images_.push_back(id);
  return id;
}

Outcome<Json> BuildInputs::contexts(const std::vector<std::string>& flags, const Json& agents) {
  Json contexts = Json::object();
  for (const std::string& flag : flags) {
    const size_t equals = flag.find('=');
    const std::string name = flag.substr(0, equals);
    const std::string value = flag.substr(equals + 1);
    if (value.starts_with(image_scheme)) {
      contexts[name] = value.substr(image_scheme.size());
      continue;
    }
    if (spec::parse_git_place(value)) {
      TRY(contexts[name], fetch_repository(name, value, agents));
      continue;
    }
    if (value.find("://") != std::string::npos) {
      return refuse(
          "the build context {} is no directory, no git repository and no {}IMAGE: {} is not supported", name,
          image_scheme, value);
    }
    TRY(contexts[name], send_directory(name, value));
  }
  return contexts;
}

bool BuildInputs::needed(const grammar::Invocation& invocation) {
  return invocation.given("secret") || invocation.given("ssh") || invocation.given("build-context") ||
         BuildCacheFlags::given(invocation);
}

Outcome<std::string> BuildInputs::first_line(const grammar::Invocation& invocation, bool has_context) {
  Json line = {{"Context", has_context}, {"Secrets", Json::object()}};
  for (const std::string& text : invocation.list("secret")) {
    TRY(auto secret, options::parse_secret(text));
    TRY(std::string content, options::read_secret(secret));
    line["Secrets"][secret.id] = to_base64(content);
  }
  TRY(line["Agents"], agents(invocation.list("ssh")));
  TRY(line["Contexts"], contexts(invocation.list("build-context"), line["Agents"]));
  CHECK(caches_.describe(invocation, line));
  return to_json(line) + "\n";
}

}  // namespace berth::cli::commands
