// Registries that run, and the requests that start, list and tidy them.
#include "api/registry/registry_api.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <deque>
#include <list>

#include "api/registry/registry_settings.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "io/sync.h"
#include "io/tls.h"
#include "registry/server/server.h"
#include "storage/content_store.h"
#include "storage/database.h"
#include "storage/held_blobs.h"
#include "storage/image_store.h"
#include "sys/file.h"

namespace berth::api {
namespace {

namespace server = registry::server;

constexpr std::string_view prefix = "/berth/registry";
constexpr size_t max_settings = size_t{16} << 20;
constexpr size_t max_log_lines = 10'000;
constexpr auto default_grace = std::chrono::hours(1);

/// "/v1.51/berth/registry/gc" without its version.
std::string_view without_version(std::string_view path) {
  if (!path.starts_with("/v")) return path;
  size_t slash = path.find('/', 1);
  return slash == std::string_view::npos ? path : path.substr(slash);
}

/// A store of its own, locked against other engines.
struct OwnStore {
  sys::UniqueFd lock;
  std::unique_ptr<storage::Database> database;
  std::optional<storage::ContentStore> content;
  std::unique_ptr<server::Store> store;

  static Result<std::shared_ptr<OwnStore>> open(const std::string& root) {
    if (!root.starts_with('/'))
      return failure(Kind::InvalidArgument, "\"{}\": the data root must be absolute", root);
    bool is_engines = ::access((root + "/state.db").c_str(), F_OK) == 0;
    if (is_engines) return failure(Kind::InvalidArgument, "{} is the data root of an engine", root);
    auto own = std::make_shared<OwnStore>();
    CHECK(sys::make_dirs(root, 0700));
    TRY(own->lock, sys::open_file((root + "/registry.lock").c_str(), O_RDWR | O_CREAT, 0600));
    if (::flock(own->lock.get(), LOCK_EX | LOCK_NB) != 0) {
      return failure(Kind::WrongState, "another engine serves {}", root);
    }
    TRY(own->database, storage::Database::open(root + "/registry.db"));
    TRY(own->content, storage::ContentStore::open(root + "/content"));
    CHECK(storage::HeldBlobs::create(*own->database));
    TRY(own->store, server::Store::open(*own->database, *own->content, root + "/content"));
    return own;
  }

  /// Nobody else has blobs here: what is not held goes.
  Result<uint64_t> collect() {
    uint64_t bytes = 0;
    TRY(storage::Transaction transaction, database->begin());
    TRY(auto held, storage::HeldBlobs::all(*database));
    TRY(auto blobs, content->list());
    for (const storage::BlobInfo& blob : blobs) {
      if (held.contains(blob.digest)) continue;
      CHECK(content->remove(blob.digest));
      bytes += blob.size;
    }
    return bytes;
  }
};

/// One registry that listens.
struct Instance {
  Instance(io::EventLoop& loop, server::Store& store, server::ServerSettings settings,
           std::shared_ptr<OwnStore> own)
      : own_store(std::move(own)),
        serving(loop, store, std::move(settings)),
        http(loop, [this](io::Exchange& exchange) { return serving.handle(exchange); }) {}

  std::shared_ptr<OwnStore> own_store;
  server::Server serving;
  io::HttpServer http;
  std::string url;
  enum class Life { OfARequest, OfTheEngine };
  Life life = Life::OfARequest;
};

/// Lines for a client that may read slowly: the oldest are dropped.
struct LogQueue {
  std::deque<std::string> lines;
  uint64_t dropped = 0;
  io::Condition changed;

  void add(std::string line) {
    if (lines.size() >= max_log_lines) {
      lines.pop_front();
      ++dropped;
    }
    lines.push_back(std::move(line));
    changed.notify_all();
  }
  std::string take() {
    std::string text;
    if (dropped > 0)
      text = to_json(Json{{"Log", fmt::format("({} lines left out)", std::exchange(dropped, 0))}}) + "\n";
    for (const std::string& line : lines) text += to_json(Json{{"Log", line}}) + "\n";
    lines.clear();
    return text;
  }
};

int status_of(Kind kind) {
  switch (kind) {
    case Kind::InvalidArgument:
      return 400;
    case Kind::Forbidden:
      return 403;
    case Kind::NotFound:
      return 404;
    case Kind::AlreadyExists:
    case Kind::WrongState:
      return 409;
    default:
      return 500;
  }
}

}  // namespace

struct RegistryApi::State {
  explicit State(RegistryServices given) : services(std::move(given)) {}

  RegistryServices services;
  std::unique_ptr<server::Store> store;  // of the engine; opened when first needed
  std::map<std::string, std::weak_ptr<OwnStore>> own_stores;
  std::list<Instance> instances;

  io::Task<Result<server::Store*>> engine_store();
  io::Task<Result<std::shared_ptr<OwnStore>>> own_store(std::string root);
  io::Task<Result<std::list<Instance>::iterator>> start(RegistrySettings settings,
                                                        std::function<void(std::string)> access_log);
  io::Task<Result<void>> serve_request(io::Exchange& exchange);
  io::Task<Result<void>> list(io::Exchange& exchange);
  io::Task<Result<void>> collect(io::Exchange& exchange);
  io::Task<Result<void>> dispatch(io::Exchange& exchange);
};

io::Task<Result<server::Store*>> RegistryApi::State::engine_store() {
  if (!store) {
    auto open = [this] {
      return server::Store::open(services.database, services.content, services.content_root);
    };
    CO_TRY(auto opened, co_await services.loop.on_worker(open));
    if (!store) store = std::move(opened);
  }
  co_return store.get();
}

io::Task<Result<std::shared_ptr<OwnStore>>> RegistryApi::State::own_store(std::string root) {
  if (auto known = own_stores[root].lock()) co_return known;
  auto open = [&] { return OwnStore::open(root); };
  CO_TRY(auto opened, co_await services.loop.on_worker(open));
  own_stores[root] = opened;
  co_return opened;
}

io::Task<Result<std::list<Instance>::iterator>> RegistryApi::State::start(
    RegistrySettings settings, std::function<void(std::string)> access_log) {
  CO_TRY(RegistryAddress address, parse_registry_address(settings.address));
  CO_TRY(server::ServerSettings wanted, server_settings(settings));
  wanted.access_log = std::move(access_log);
  std::shared_ptr<OwnStore> own;
  server::Store* served = nullptr;
  if (settings.data_root.empty()) {
    CO_TRY(served, co_await engine_store());
  } else {
    CO_TRY(own, co_await own_store(settings.data_root));
    served = own->store.get();
  }
  bool encrypted = wanted.encrypted;
  bool is_open = !wanted.users && !wanted.tokens && settings.client_ca.empty() && !settings.read_only;
  if (is_open && !address.ip.starts_with("127.") && address.ip != "::1") {
    log::warn("the registry on {} takes pushes from everyone who reaches it (--htpasswd, --readonly)",
              settings.address);
  }
  auto place = instances.emplace(instances.end(), services.loop, *served, std::move(wanted), std::move(own));
  io::TlsConfig tls{settings.certificate, settings.key, settings.client_ca};
  auto port = encrypted ? place->http.listen_tls(address.ip, address.port, tls)
                        : place->http.listen_tcp(address.ip, address.port);
  if (!port) {
    instances.erase(place);
    co_return std::move(port).error();
  }
  bool is_v6 = address.ip.find(':') != std::string::npos;
  place->url = fmt::format("{}://{}{}{}:{}", encrypted ? "https" : "http", is_v6 ? "[" : "", address.ip,
                           is_v6 ? "]" : "", *port);
  log::info("registry listens on {}", place->url);
  co_return place;
}

io::Task<Result<void>> RegistryApi::State::serve_request(io::Exchange& exchange) {
  CO_TRY(std::string body, co_await exchange.read_body(max_settings));
  CO_TRY(RegistrySettings settings, parse_registry_settings(body));
  LogQueue queue;
  std::function<void(std::string)> access_log = [&queue](std::string line) { queue.add(std::move(line)); };
  CO_TRY(auto place, co_await start(std::move(settings), std::move(access_log)));
  // However this ends (the client's leaving destroys it where it stands), the registry ends with it.
  struct Stop {
    std::list<Instance>& instances;
    std::list<Instance>::iterator place;
    ~Stop() {
      log::info("registry on {} has ended", place->url);
      instances.erase(place);
    }
  } stop{instances, place};
  CO_CHECK(co_await exchange.begin(200, "application/json"));
  std::string text = to_json(Json{{"Address", place->url}}) + "\n";
  io::CancelToken gone = exchange.client_gone();
  while (true) {
    if (!text.empty()) CO_CHECK(co_await exchange.write(text));
    if (queue.lines.empty()) {
      bool more = co_await io::wait_unless_cancelled(queue.changed, gone);
      if (!more) co_return Error(Kind::Cancelled, "the client has left");
    }
    text = queue.take();
  }
}

io::Task<Result<void>> RegistryApi::State::list(io::Exchange& exchange) {
  std::string root(exchange.query().get_or("dataRoot", ""));
  std::shared_ptr<OwnStore> own;
  server::Store* asked = nullptr;
  if (root.empty()) {
    CO_TRY(asked, co_await engine_store());
  } else {
    CO_TRY(own, co_await own_store(root));
    asked = own->store.get();
  }
  auto describe = [&] { return asked->describe(); };
  CO_TRY(auto repositories, co_await services.loop.on_worker(describe));
  Json rows = Json::array();
  for (const server::RepositoryInfo& one : repositories) {
    rows.push_back({{"Name", one.name},
                    {"Tags", one.tags},
                    {"Manifests", one.manifests},
                    {"Blobs", one.blobs},
                    {"Size", one.bytes}});
  }
  std::string body = to_json(rows);
  co_return co_await exchange.respond(200, "application/json", body);
}

io::Task<Result<void>> RegistryApi::State::collect(io::Exchange& exchange) {
  const io::HttpQuery& query = exchange.query();
  std::chrono::nanoseconds grace = default_grace;
  if (auto text = query.get("grace")) {
    std::string duration =
        fmt::format("{}{}", *text, text->find_first_not_of("0123456789") == text->npos ? "ns" : "");
    CO_TRY(grace, parse_duration(duration));
    if (grace.count() < 0) co_return Error(Kind::InvalidArgument, "grace: must not be negative");
  }
  auto untagged =
      query.get_or("untagged", "0") == "1" ? server::Store::Untagged::Removed : server::Store::Untagged::Kept;
  std::string root(query.get_or("dataRoot", ""));
  std::shared_ptr<OwnStore> own;
  server::Store* tidied = nullptr;
  if (root.empty()) {
    CO_TRY(tidied, co_await engine_store());
  } else {
    CO_TRY(own, co_await own_store(root));
    tidied = own->store.get();
  }
  storage::InUse in_use = services.in_use();
  uint64_t reclaimed = 0;
  auto work = [&]() -> Result<server::CollectReport> {
    TRY(server::CollectReport report, tidied->collect(grace, untagged));
    if (own) {
      TRY(reclaimed, own->collect());
    } else {
      TRY(reclaimed, services.images.collect(in_use));
    }
    return report;
  };
  CO_TRY(server::CollectReport report, co_await services.loop.on_worker(work));
  Json answer = {{"Manifests", report.manifests},
                 {"Blobs", report.blobs},
                 {"Uploads", report.uploads},
                 {"Reclaimed", reclaimed}};
  std::string body = to_json(answer);
  co_return co_await exchange.respond(200, "application/json", body);
}

io::Task<Result<void>> RegistryApi::State::dispatch(io::Exchange& exchange) {
  std::string_view path = without_version(exchange.path()).substr(prefix.size());
  std::string_view method = exchange.method();
  if (path.empty() && method == "POST") {
    co_return co_await serve_request(exchange);
  } else if (path == "/repositories" && method == "GET") {
    co_return co_await list(exchange);
  } else if (path == "/gc" && method == "POST") {
    co_return co_await collect(exchange);
  }
  co_return Error(Kind::NotFound, "page not found");
}

RegistryApi::RegistryApi(RegistryServices services) : state_(std::make_unique<State>(std::move(services))) {}
RegistryApi::~RegistryApi() = default;

bool RegistryApi::is_route(std::string_view path) {
  std::string_view rest = without_version(path);
  return rest.starts_with(prefix) && (rest.size() == prefix.size() || rest[prefix.size()] == '/');
}

io::Task<void> RegistryApi::handle(io::Exchange& exchange) {
  auto done = co_await state_->dispatch(exchange);
  if (done) co_return;
  if (exchange.begun()) {
    exchange.abort();
    co_return;
  }
  std::string body = to_json(Json{{"message", done.error().message()}});
  [[maybe_unused]] auto sent =
      co_await exchange.respond(status_of(done.error().kind()), "application/json", body);
}

io::Task<Result<void>> RegistryApi::serve(RegistrySettings settings) {
  std::function<void(std::string)> access_log = [](std::string line) { log::debug("registry: {}", line); };
  CO_TRY(auto place, co_await state_->start(std::move(settings), std::move(access_log)));
  place->life = Instance::Life::OfTheEngine;
  co_return Result<void>();
}

io::Task<void> RegistryApi::drain(io::SteadyTime deadline) {
  for (Instance& instance : state_->instances) instance.http.close_listeners();
  // Those of a request end with it, and may do so meanwhile.
  for (Instance& instance : state_->instances) {
    if (instance.life == Instance::Life::OfTheEngine) co_await instance.http.drain(deadline);
  }
}

}  // namespace berth::api
