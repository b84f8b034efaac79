#include "apps/buildkit/frontend.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <thread>

#include "apps/buildkit/agent_forward.h"
#include "apps/buildkit/build_events.h"
#include "apps/buildkit/byte_queue.h"
#include "apps/buildkit/cache_directories.h"
#include "apps/buildkit/calls.h"
#include "apps/buildkit/exporters.h"
#include "apps/buildkit/file_sync.h"
#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "spec/dockerignore.h"
#include "spec/image.h"
#include "spec/reference.h"

namespace berth::buildkit {
namespace {

struct Definition {
  std::string dockerfile;
  std::vector<std::string> ignored;
  DockerfileNeeds needs;
};

Result<std::string> load_definition(const Session& session, const BuildParameters& parameters,
                                    Progress& progress) {
  std::string vertex = progress.begin("[internal] load build definition from " + parameters.dockerfile);
  auto text = fetch_file(session, parameters.dockerfile_directory, parameters.dockerfile);
  if (!text && text.error().kind() == Kind::NotFound && parameters.dockerfile == "Dockerfile") {
    auto lower = fetch_file(session, parameters.dockerfile_directory, "dockerfile");
    if (lower) text = std::move(lower);
  }
  if (!text) {
    progress.complete(vertex, text.error().message());
    return text;
  }
  progress.set_source(parameters.dockerfile, *text);
  auto size = static_cast<int64_t>(text->size());
  progress.status(vertex, fmt::format("transferring dockerfile: {}B", size), size, size, true);
  progress.complete(vertex);
  return text;
}

Result<std::vector<std::string>> load_ignored(const Session& session, const BuildParameters& parameters,
                                              Progress& progress) {
  std::string vertex = progress.begin("[internal] load .dockerignore");
  auto text = fetch_file(session, parameters.dockerfile_directory, parameters.dockerfile + ".dockerignore");
  if (!text && text.error().kind() == Kind::NotFound)
    text = fetch_file(session, parameters.context_directory, ".dockerignore");
  if (!text && text.error().kind() == Kind::NotFound) text = std::string();
  auto patterns = text ? spec::parse_ignore_file(*text) : Result<std::vector<std::string>>(text.error());
  progress.complete(vertex, patterns ? std::string() : patterns.error().message());
  return patterns;
}

/// The secrets of these ids, in base64.
Result<Json> fetch_secrets(const Session& session, const std::set<std::string>& ids) {
  Json secrets = Json::object();
  for (const std::string& id : ids) {
    auto content = session.secret(id);
    // Whether it must be there is the instruction's to say.
    if (!content && (content.error().kind() == Kind::NotFound || content.error().kind() == Kind::Unsupported))
      continue;
    if (!content) return std::move(content).error();
    secrets[id] = to_base64(*content);
  }
  return secrets;
}

/// Sockets of the agents of these ids, and of the one that opens repositories, which no instruction names.
Result<Json> forward_agents(const std::shared_ptr<Session>& session, std::set<std::string> ids,
                            AgentForwards& forwards) {
  ids.insert("default");
  Json agents = Json::object();
  if (!session || !session->offers("/moby.sshforward.v1.SSH/ForwardAgent")) return agents;
  for (const std::string& id : ids) {
    auto path = forwards.add(session, id);
    // Whether it must be there is the instruction's to say; a client without that agent refuses it in its
    // words.
    if (!path && path.error().kind() == Kind::Internal) return std::move(path).error();
    if (path) agents[id] = *path;
  }
  return agents;
}

/// As the first line of a build's body has them. A directory that cannot be read is told of and left out.
void add_caches(const CachePlaces& caches, const CacheDirectories& directories, Progress& progress,
                Json& preamble) {
  std::vector<std::string> notes = caches.notes;
  for (const CachePlaces::Source& source : caches.from) {
    auto described = source.directory.empty() ? Result<Json>(Json{{"ref", source.reference}})
                                              : directories.describe(source);
    if (described) {
      preamble["CacheFrom"].push_back(std::move(*described));
    } else {
      notes.push_back(
          fmt::format("the cache {} is passed over: {}", source.directory, described.error().message()));
    }
  }
  for (const CachePlaces::Target& target : caches.to) {
    bool directory = !target.directory.empty();
    preamble["CacheTo"].push_back(
        {{directory ? "directory" : "ref", directory ? target.directory : target.reference},
         {"mode", target.mode}});
  }
  if (caches.inline_cache) preamble["InlineCache"] = true;
  if (notes.empty()) return;
  std::string vertex = progress.begin("[internal] build caches");
  for (const std::string& note : notes) progress.warn(vertex, {.text = note});
  progress.complete(vertex);
}

/// Registries of the caches, whose credentials are wanted too.
void add_hosts(const CachePlaces& caches, std::set<std::string>& hosts) {
  auto add = [&hosts](const std::string& name) {
    if (auto reference = spec::Reference::parse(name); reference) hosts.insert(reference->domain());
  };
  for (const CachePlaces::Source& source : caches.from) add(source.reference);
  for (const CachePlaces::Target& target : caches.to) add(target.reference);
}

/// X-Registry-Config, from what the client knows of the registries that the Dockerfile names.
std::string registry_header(const Session* session, const std::set<std::string>& hosts) {
  if (session == nullptr || !session->offers("/moby.filesync.v1.Auth/Credentials")) return {};
  Json registries = Json::object();
  for (const std::string& host : hosts) {
    bool hub = host == "docker.io";
    auto found = session->credentials(hub ? "registry-1.docker.io" : host);
    if (!found) continue;
    std::string key = hub ? "https://index.docker.io/v1/" : host;
    bool token = found->username.empty() || found->username == "<token>";
    registries[key] = token ? Json{{"identitytoken", found->secret}}
                            : Json{{"username", found->username}, {"password", found->secret}};
  }
  return registries.empty() ? std::string() : "X-Registry-Config: " + to_base64(to_json(registries));
}

/// Fills the queue with the body on a thread of its own, which has ended when the object goes.
class BodyProducer {
 public:
  BodyProducer(std::function<Result<void>(ByteQueue&)> produce) {
    thread_ = std::thread([this, produce = std::move(produce)] { queue_.close(produce(queue_)); });
  }
  ~BodyProducer() {
    queue_.abandon();
    thread_.join();
  }
  Result<size_t> read(char* buffer, size_t size) {
    if (taken_ == piece_.size()) {
      TRY(piece_, queue_.read());
      taken_ = 0;
    }
    size_t count = std::min(size, piece_.size() - taken_);
    std::copy_n(piece_.data() + taken_, count, buffer);
    taken_ += count;
    return count;
  }

 private:
  ByteQueue queue_;
  std::string piece_;
  size_t taken_ = 0;  ///< of the piece
  std::thread thread_;
};

/// POST /berth/build: the first line of the body, then what `send` puts into the queue. The image's id.
Result<std::string> ask_for_build(const EngineClient& engine, EngineRequest request, const Json& preamble,
                                  const std::function<Result<void>(ByteQueue&)>& send, BuildEvents& events) {
  request.method = "POST";
  request.path = "/berth/build";
  request.headers.emplace_back("Content-Type: application/vnd.berth.build");
  BodyProducer body([&](ByteQueue& queue) -> Result<void> {
    CHECK(queue.write(to_json(preamble) + "\n"));
    return send(queue);
  });
  request.read = [&body](char* buffer, size_t size) { return body.read(buffer, size); };
  request.write = [&events](std::string_view bytes) { return events.feed(bytes); };
  auto sent = engine.send(std::move(request));
  if (!events.error().empty()) return Error(Kind::InvalidArgument, failure_words(events.error()));
  if (!sent) return std::move(sent).error();
  if (events.image().empty()) return Error(Kind::Internal, "the engine named no image");
  return events.image();
}

Result<void> send_body(const ClientSide& client, const WriteBytes& write, const Cancelled& cancelled) {
  while (true) {
    TRY(std::string piece, client.body());
    if (piece.empty()) return {};
    if (cancelled()) return Error(Kind::Cancelled, "build cancelled");
    CHECK(write(piece));
  }
}

Result<void> send_context(const ClientSide& client, const BuildParameters& parameters,
                          const std::vector<std::string>& ignored, Progress& progress, ByteQueue& queue,
                          const Cancelled& cancelled) {
  std::string vertex = progress.begin("[internal] load build context");
  int64_t bytes = 0;
  WriteBytes write = [&queue](std::string_view piece) { return queue.write(piece); };
  Result<void> sent;
  WriteBytes counted = [&](std::string_view piece) {
    bytes += static_cast<int64_t>(piece.size());
    return write(piece);
  };
  if (client.body) {
    sent = send_body(client, counted, cancelled);
  } else if (!parameters.upload.empty()) {
    sent = client.session->pull_upload(parameters.upload, counted, cancelled);
  } else {
    TreeRequest tree{.directory = parameters.context_directory, .exclude = ignored};
    auto told = std::chrono::steady_clock::now();
    auto count = [&](TreeProgress so_far) {
      bytes = static_cast<int64_t>(so_far.bytes);
      auto now = std::chrono::steady_clock::now();
      if (now - told < std::chrono::milliseconds(100)) return;
      told = now;
      progress.status(vertex, "transferring context:", bytes, 0, false);
    };
    sent = fetch_tree(*client.session, tree, write, count, cancelled);
  }
  progress.status(vertex, "transferring context:", bytes, bytes, true);
  progress.complete(vertex, sent ? std::string() : sent.error().message());
  return sent;
}

/// Images of the directories that a build calls by name, gone with the object.
class NamedDirectories {
 public:
  explicit NamedDirectories(const EngineClient& engine) : engine_(engine) {}
  NamedDirectories(const NamedDirectories&) = delete;
  ~NamedDirectories() {
    for (const std::string& image : images_) remove_unnamed(engine_, image);
  }

  /// An image that holds nothing but the directory; its id.
  Result<std::string> add(const Session& session, const std::string& directory, Progress& progress,
                          const Cancelled& cancelled) {
    BuildParameters parameters{.context_directory = directory};
    std::string vertex = progress.begin("[internal] load build context " + directory);
    auto text = fetch_file(session, directory, ".dockerignore");
    if (!text && text.error().kind() != Kind::NotFound) return text;
    TRY(auto ignored, spec::parse_ignore_file(text ? *text : std::string()));
    auto send = [&](ByteQueue& queue) {
      TreeRequest tree{.directory = directory, .exclude = ignored};
      return fetch_tree(
          session, tree, [&queue](std::string_view piece) { return queue.write(piece); }, {}, cancelled);
    };
    Progress unseen("context");
    BuildEvents events(unseen, {});
    Json preamble = {{"Dockerfile", "FROM scratch\nCOPY . /\n"}};
    auto image = ask_for_build(engine_, {.cancelled = cancelled}, preamble, send, events);
    progress.complete(vertex, image ? std::string() : image.error().message());
    if (image) images_.push_back(*image);
    return image;
  }

 private:
  const EngineClient& engine_;
  std::vector<std::string> images_;
};

}  // namespace

Result<BuiltImages> build_dockerfile(const EngineClient& engine, const ClientSide& client,
                                     BuildParameters parameters, Progress& progress,
                                     const Cancelled& cancelled) {
  const std::shared_ptr<Session>& session = client.session;
  bool by_client = parameters.remote.empty();
  bool by_archive = client.body || !parameters.upload.empty();
  bool needs_session = (by_client && !client.body) || !parameters.named_directories.empty();
  if (needs_session && !session) return Error(Kind::InvalidArgument, "the client's session is not connected");
  if (by_archive && parameters.platforms.size() > 1) {
    return Error(Kind::Unsupported,
                 "a context that comes as an archive can be read once: build for several platforms from a "
                 "directory, or for one platform at a time");
  }
  Definition definition;
  const std::string& beside = engine.socket_path();
  AgentForwards agents(beside.substr(0, beside.rfind('/')));
  Json preamble = {{"Context", by_client}};
  BuiltImages built;
  if (by_client && !by_archive) {
    TRY(definition.dockerfile, load_definition(*session, parameters, progress));
    TRY(definition.ignored, load_ignored(*session, parameters, progress));
    if (!parameters.call.empty()) {
      TRY(built.metadata, answer_call(engine, parameters, definition.dockerfile, definition.ignored));
      return built;
    }
    definition.needs = needs_of(definition.dockerfile);
    built.dockerfile = definition.dockerfile;
    preamble["Dockerfile"] = definition.dockerfile;
    TRY(preamble["Secrets"], fetch_secrets(*session, definition.needs.secrets));
  }
  TRY(preamble["Agents"], forward_agents(session, definition.needs.agents, agents));
  if (!parameters.call.empty())
    return failure(Kind::Unsupported, "frontend.{} needs a Dockerfile in a directory or from standard input",
                   parameters.call);
  NamedDirectories named(engine);
  std::map<std::string, std::string> contexts = parameters.named_images;
  for (const auto& [name, directory] : parameters.named_directories) {
    TRY(contexts[name], named.add(*session, directory, progress, cancelled));
  }
  preamble["Contexts"] = contexts;
  CacheDirectories directories(engine, session, cancelled);
  add_caches(client.caches, directories, progress, preamble);
  add_hosts(client.caches, definition.needs.registries);
  EngineRequest request{.query = parameters.query, .cancelled = cancelled};
  if (!by_client) request.query.emplace_back("remote", parameters.remote);
  std::string header = registry_header(session.get(), definition.needs.registries);
  if (header.empty() && !client.registries.empty()) header = "X-Registry-Config: " + client.registries;
  if (!header.empty()) request.headers.push_back(std::move(header));
  auto send = [&](ByteQueue& queue) -> Result<void> {
    if (!by_client) return {};
    return send_context(client, parameters, definition.ignored, progress, queue, cancelled);
  };
  std::vector<std::string> platforms = parameters.platforms;
  if (platforms.empty()) platforms.emplace_back();
  for (const std::string& platform : platforms) {
    BuildEvents events(progress,
                       {.several_stages = definition.needs.several_stages,
                        .platform = platforms.size() > 1 ? platform : std::string()},
                       [&directories](const Json& event) { return directories.serve(event); });
    EngineRequest one = request;
    if (!platform.empty()) one.query.emplace_back("platform", platform);
    BuiltImage image{.platform = platform.empty() ? spec::Platform::host().str() : platform,
                     .started = now()};
    TRY(image.id, ask_for_build(engine, std::move(one), preamble, send, events));
    image.finished = now();
    image.materials = events.materials();
    built.images.push_back(std::move(image));
  }
  built.cache_manifest = directories.manifest();
  return built;
}

}  // namespace berth::buildkit
