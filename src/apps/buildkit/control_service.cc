// Control: builds from their request to their end, their progress, sessions, the cache.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <algorithm>
#include <thread>

#include <control.grpc.pb.h>
#include "apps/buildkit/recording.h"
#include "apps/buildkit/services.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"
#include "sys/file.h"

namespace berth::buildkit {
namespace {

namespace pb = moby::buildkit::v1;
using grpc::ServerContext;

std::string metadata_value(const ServerContext& context, const char* name) {
  auto found = context.client_metadata().find(name);
  return found == context.client_metadata().end() ? std::string()
                                                  : std::string(found->second.data(), found->second.size());
}

/// Bytes of a session that comes within a call, beside a socket that a channel is made of.
class Tunnel {
 public:
  using Stream = grpc::ServerReaderWriter<pb::BytesMessage, pb::BytesMessage>;
  Tunnel(Stream& stream, sys::UniqueFd socket) : stream_(stream), socket_(std::move(socket)) {}

  void run() {
    std::thread outward([this] { send_bytes(); });
    pb::BytesMessage message;
    while (stream_.Read(&message)) {
      if (!sys::write_all(socket_.get(), message.data())) break;
    }
    ::shutdown(socket_.get(), SHUT_RDWR);
    outward.join();
  }

 private:
  void send_bytes() {
    std::string buffer(65536, '\0');
    while (true) {
      ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (count <= 0) return;
      pb::BytesMessage message;
      message.set_data(buffer.data(), static_cast<size_t>(count));
      if (!stream_.Write(message)) return;
    }
  }
  Stream& stream_;
  sys::UniqueFd socket_;
};

Result<void> fill_record(const Json& entry, pb::UsageRecord& record) {
  TRY(*record.mutable_id(), json_string(entry, "ID"));
  TRY(*record.mutable_description(), json_string(entry, "Description"));
  TRY(*record.mutable_record_type(), json_string(entry, "Type"));
  TRY(int64_t size, json_int(entry, "Size"));
  TRY(int64_t count, json_int(entry, "UsageCount"));
  TRY(bool in_use, json_bool(entry, "InUse"));
  TRY(bool shared, json_bool(entry, "Shared"));
  record.set_size(size);
  record.set_usage_count(count);
  record.set_in_use(in_use);
  record.set_shared(shared);
  return {};
}

class ControlService final : public pb::Control::Service {
 public:
  explicit ControlService(Services services) : services_(services) {}

  grpc::Status ListWorkers(ServerContext*, const pb::ListWorkersRequest*,
                           pb::ListWorkersResponse* answer) override {
    describe_worker(*answer->add_record());
    return grpc::Status::OK;
  }

  grpc::Status Info(ServerContext*, const pb::InfoRequest*, pb::InfoResponse* answer) override {
    answer->mutable_version()->set_package("berth");
    answer->mutable_version()->set_version("v" BERTH_VERSION);
    return grpc::Status::OK;
  }

  grpc::Status Solve(ServerContext* context, const pb::SolveRequest* request,
                     pb::SolveResponse* answer) override {
    if (request->ref().empty()) return {grpc::INVALID_ARGUMENT, "a build needs a ref"};
    auto build = services_.builds.get(request->ref());
    if (auto begun = build->begin(*request); !begun) return to_status(begun.error());
    Recording recording(services_.history, *request);
    Product product;
    auto result = solve(*build, *request, product, [context] { return context->IsCancelled(); });
    build->progress().finish(result ? std::string() : result.error().message());
    recording.end(product, result, build->progress());
    if (!result) return to_status(result.error());
    for (const auto& [name, value] : *result) (*answer->mutable_exporter_response())[name] = value;
    return grpc::Status::OK;
  }

  grpc::Status Status(ServerContext* context, const pb::StatusRequest* request,
                      grpc::ServerWriter<pb::StatusResponse>* writer) override {
    // Of a build that has ended long ago, or before this process began.
    if (!services_.builds.knows(request->ref())) {
      if (auto messages = services_.history.progress(request->ref()); messages) {
        for (const pb::StatusResponse& message : *messages)
          if (!writer->Write(message)) break;
        return grpc::Status::OK;
      }
    }
    auto build = services_.builds.get(request->ref());
    build->progress().watch([writer](const pb::StatusResponse& message) { return writer->Write(message); },
                            [context] { return context->IsCancelled(); });
    return grpc::Status::OK;
  }

  grpc::Status Session(ServerContext* context, Tunnel::Stream* stream) override {
    buildkit::Session::Introduction introduction{
        .id = metadata_value(*context, "x-docker-expose-session-uuid"),
        .name = metadata_value(*context, "x-docker-expose-session-name")};
    if (introduction.id.empty())
      return {grpc::INVALID_ARGUMENT, "a session needs x-docker-expose-session-uuid"};
    auto [first, last] = context->client_metadata().equal_range("x-docker-expose-session-grpc-method");
    for (auto field = first; field != last; ++field)
      introduction.methods.insert(std::string(field->second.data(), field->second.size()));
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      return {grpc::RESOURCE_EXHAUSTED, "no socket for the session"};
    sys::UniqueFd inner(ends[0]);
    sys::UniqueFd outer(ends[1]);
    ::fcntl(inner.get(), F_SETFL, ::fcntl(inner.get(), F_GETFL) | O_NONBLOCK);
    auto session = std::make_shared<buildkit::Session>(std::move(introduction), std::move(inner));
    services_.sessions.add(session);
    Tunnel(*stream, std::move(outer)).run();
    services_.sessions.remove(session->id(), session.get());
    return grpc::Status::OK;
  }

  grpc::Status DiskUsage(ServerContext*, const pb::DiskUsageRequest*,
                         pb::DiskUsageResponse* answer) override {
    auto usage =
        services_.engine.send({.method = "GET", .path = "/system/df", .query = {{"type", "build-cache"}}});
    if (!usage) return to_status(usage.error());
    auto object = parse_json(usage->body);
    if (!object) return to_status(object.error());
    const Json* records = json_member(*object, "BuildCache");
    for (const Json& entry : records != nullptr && records->is_array() ? *records : Json::array()) {
      if (auto filled = fill_record(entry, *answer->add_record()); !filled) return to_status(filled.error());
    }
    return grpc::Status::OK;
  }

  grpc::Status Prune(ServerContext*, const pb::PruneRequest* request,
                     grpc::ServerWriter<pb::UsageRecord>* writer) override {
    EngineRequest prune{.method = "POST", .path = "/build/prune"};
    if (request->all()) prune.query.emplace_back("all", "1");
    if (request->reserved_space() > 0)
      prune.query.emplace_back("reserved-space", std::to_string(request->reserved_space()));
    if (request->keep_duration() > 0) {
      Json filters = {{"until", Json::array({fmt::format("{}s", request->keep_duration() / 1'000'000'000)})}};
      prune.query.emplace_back("filters", to_json(filters));
    }
    pb::DiskUsageResponse before;
    if (auto told = DiskUsage(nullptr, nullptr, &before); !told.ok()) return told;
    auto pruned = services_.engine.send(std::move(prune));
    if (!pruned) return to_status(pruned.error());
    auto object = parse_json(pruned->body);
    if (!object) return to_status(object.error());
    auto ids = json_strings(*object, "CachesDeleted");
    if (!ids) return to_status(ids.error());
    for (const std::string& id : *ids) {
      for (const pb::UsageRecord& record : before.record())
        if (record.id() == id) writer->Write(record);
    }
    return grpc::Status::OK;
  }

  grpc::Status ListenBuildHistory(ServerContext* context, const pb::BuildHistoryRequest* request,
                                  grpc::ServerWriter<pb::BuildHistoryEvent>* writer) override {
    // Clients fetch all of it then and choose by themselves.
    if (request->filter_size() > 0) return {grpc::UNIMPLEMENTED, "filters of the history are not supported"};
    context->AddInitialMetadata("buildkit-current-timestamp", to_rfc3339(now()));
    const History::Query query{.ref = request->ref(),
                               .active_only = request->active_only(),
                               .early_exit = request->early_exit(),
                               .limit = static_cast<size_t>(std::max(request->limit(), 0)),
                               .subscribed = [writer] { writer->SendInitialMetadata(); }};
    services_.history.listen(
        query, [writer](const pb::BuildHistoryEvent& event) { return writer->Write(event); },
        [context] { return context->IsCancelled(); });
    return grpc::Status::OK;
  }

  grpc::Status UpdateBuildHistory(ServerContext*, const pb::UpdateBuildHistoryRequest* request,
                                  pb::UpdateBuildHistoryResponse*) override {
    Result<void> done;
    if (request->delete_()) {
      done = services_.history.remove(request->ref());
    } else if (!request->finalize()) {  // traces are there when a build ends
      done = services_.history.pin(request->ref(), request->pinned());
    } else if (!services_.history.contains(request->ref())) {
      done = failure(Kind::NotFound, "no build \"{}\" is remembered", request->ref().substr(0, 64));
    }
    return done ? grpc::Status::OK : to_status(done.error());
  }

 private:
  using Answer = std::map<std::string, std::string>;

  Result<Answer> solve(Build& build, const pb::SolveRequest& request, Product& product,
                       const Cancelled& cancelled) {
    if (request.has_definition() && request.definition().def_size() > 0)
      return Error(Kind::Unsupported,
                   "builds by LLB definitions are not supported: this engine builds from Dockerfiles");
    Build::Outcome outcome;
    // The definition of nothing, which clients send to see whether anyone answers.
    if (request.frontend().empty() && request.has_definition()) return Answer();
    if (request.frontend().empty()) {
      TRY(outcome.product, build.wait_for_return(cancelled));
    } else {
      Attributes attributes(request.frontend_attrs().begin(), request.frontend_attrs().end());
      TRY(outcome, build.run_frontend(request.frontend(), attributes, cancelled));
    }
    product = outcome.product;
    TRY(Answer answer, build.export_product(product, cancelled));
    answer.merge(outcome.metadata);
    return answer;
  }

  Services services_;
};

}  // namespace

grpc::Status to_status(const Error& error) {
  grpc::StatusCode code = grpc::UNKNOWN;
  switch (error.kind()) {
    case Kind::NotFound:
      code = grpc::NOT_FOUND;
      break;
    case Kind::AlreadyExists:
      code = grpc::ALREADY_EXISTS;
      break;
    case Kind::Cancelled:
      code = grpc::CANCELLED;
      break;
    case Kind::Unsupported:
      code = grpc::UNIMPLEMENTED;
      break;
    case Kind::Unavailable:
      code = grpc::UNAVAILABLE;
      break;
    case Kind::Exhausted:
      code = grpc::RESOURCE_EXHAUSTED;
      break;
    default:
      break;
  }
  return {code, error.message()};
}

void describe_worker(pb::WorkerRecord& worker) {
  utsname host{};
  ::uname(&host);
  std::string machine = host.machine;
  auto* platform = worker.add_platforms();
  platform->set_os("linux");
  platform->set_architecture(machine == "x86_64" ? "amd64" : machine == "aarch64" ? "arm64" : machine);
  worker.set_id("berth");
  (*worker.mutable_labels())["org.mobyproject.buildkit.worker.executor"] = "berth";
  (*worker.mutable_labels())["org.mobyproject.buildkit.worker.hostname"] = host.nodename;
  // By this label buildx knows an engine that can write build caches and archives of images.
  (*worker.mutable_labels())["org.mobyproject.buildkit.worker.snapshotter"] = "overlayfs";
  worker.mutable_version()->set_package("berth");
  worker.mutable_version()->set_version("v" BERTH_VERSION);
}

std::unique_ptr<grpc::Service> make_control_service(Services services) {
  return std::make_unique<ControlService>(services);
}

}  // namespace berth::buildkit
