#include "apps/buildkit/docker_builds.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "apps/buildkit/recording.h"
#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "sys/file.h"

namespace berth::buildkit {
namespace {

using namespace std::chrono_literals;
using moby::buildkit::v1::StatusResponse;
using SharedFd = std::shared_ptr<sys::UniqueFd>;

/// As docker waits for the other of two requests that belong together.
constexpr auto upload_time = 5s;
constexpr size_t most_uploads = 64;

int status_of(const Error& error) {
  switch (error.kind()) {
    case Kind::InvalidArgument:
      return 400;
    case Kind::NotFound:
      return 404;
    case Kind::Unsupported:
      return 501;
    default:
      return 500;
  }
}

Result<void> write_status(int socket, const Result<void>& outcome) {
  Json line = {{"status", 200}};
  if (!outcome) line = {{"status", status_of(outcome.error())}, {"message", outcome.error().message()}};
  return sys::write_all(socket, to_json(line) + "\n");
}

/// The answer: its status goes out with the first line of its body, or with the outcome when there is none.
class Answer {
 public:
  explicit Answer(int socket) : socket_(socket) {}

  Result<void> send(const Json& line) {
    if (!std::exchange(begun_, true)) CHECK(write_status(socket_, {}));
    return sys::write_all(socket_, to_json(line) + "\r\n");
  }
  Result<void> finish(const Result<void>& outcome) {
    if (!begun_) return write_status(socket_, outcome);
    if (outcome) return {};
    const std::string& message = outcome.error().message();
    return send({{"errorDetail", {{"message", message}}}, {"error", message}});
  }

 private:
  int socket_;
  bool begun_ = false;
};

bool is_empty(const StatusResponse& message) {
  return message.vertexes_size() + message.statuses_size() + message.logs_size() + message.warnings_size() ==
         0;
}

/// The client is gone, not merely done with sending.
bool has_hung_up(int socket) {
  pollfd poll{.fd = socket, .events = 0, .revents = 0};
  return ::poll(&poll, 1, 0) > 0 && (poll.revents & (POLLHUP | POLLERR)) != 0;
}

std::function<Result<std::string>()> reader_of(const SharedFd& socket) {
  return [socket]() -> Result<std::string> {
    std::string piece(65536, '\0');
    ssize_t count = ::recv(socket->get(), piece.data(), piece.size(), 0);
    while (count < 0 && errno == EINTR) count = ::recv(socket->get(), piece.data(), piece.size(), 0);
    if (count < 0) return Error::from_errno("receive", "the build's context", errno);
    piece.resize(static_cast<size_t>(count));
    return piece;
  };
}

moby::buildkit::v1::SolveRequest solve_request(const DockerBuild& wanted, const std::string& ref) {
  moby::buildkit::v1::SolveRequest request;
  request.set_ref(ref);
  request.set_session(wanted.session);
  request.set_frontend("dockerfile.v0");
  auto* exporter = request.add_exporters();
  exporter->set_type(wanted.exporter.type);
  exporter->mutable_attrs()->insert(wanted.exporter.attributes.begin(), wanted.exporter.attributes.end());
  return request;
}

}  // namespace

void DockerBuilds::serve(Json introduction, sys::UniqueFd socket, std::function<void()> ended) {
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) & ~O_NONBLOCK);
  auto shared = std::make_shared<sys::UniqueFd>(std::move(socket));
  std::thread([this, introduction = std::move(introduction), shared = std::move(shared),
               ended = std::move(ended)]() mutable {
    const Json* query = json_member(introduction, "query");
    auto registries = json_string(introduction, "registries");
    auto wanted = parse_docker_build(query != nullptr ? *query : Json::object());
    Result<void> refused;
    if (!wanted) {
      refused = wanted.error();
    } else if (wanted->is_upload) {
      refused = offer_upload(wanted->build_id, shared);
    } else {
      refused = run(*wanted, registries ? *registries : std::string(), shared);
    }
    if (!refused) [[maybe_unused]]
      auto told = write_status(shared->get(), refused);
    shared.reset();
    ended();
  }).detach();
}

Result<void> DockerBuilds::run(const DockerBuild& wanted, const std::string& registries,
                               const SharedFd& socket) {
  Build::Input input{.registries = registries};
  if (wanted.context == DockerBuild::Context::Body) {
    input.body = reader_of(socket);
  } else if (wanted.context == DockerBuild::Context::Upload) {
    TRY(SharedFd upload, take_upload(wanted.build_id));
    input.body = [upload, read = reader_of(upload)] { return read(); };
  }
  auto running = std::make_shared<Running>();
  if (!wanted.build_id.empty()) {
    std::lock_guard lock(mutex_);
    running_[wanted.build_id] = running;
  }
  std::string ref = fmt::format("docker-{}-{}", ::getpid(), ++begun_);
  auto build = services_.builds.get(ref);
  CHECK(build->begin(solve_request(wanted, ref)));
  build->set_input(std::move(input));
  Cancelled cancelled = [&] { return running->cancelled || has_hung_up(socket->get()); };
  Result<std::map<std::string, std::string>> result = Error(Kind::Internal, "the build has not ended");
  moby::buildkit::v1::SolveRequest request = solve_request(wanted, ref);
  request.mutable_frontend_attrs()->insert(wanted.attributes.begin(), wanted.attributes.end());
  Recording recording(services_.history, request);
  std::thread solving([&] {
    Product product;
    auto outcome = build->run_frontend("dockerfile.v0", wanted.attributes, cancelled);
    if (outcome) product = outcome->product;
    result = outcome ? build->export_product(product, cancelled) : std::move(outcome).error();
    build->progress().finish(result ? std::string() : result.error().message());
    recording.end(product, result, build->progress());
  });
  Answer answer(socket->get());
  auto send = [&](const StatusResponse& message) {
    if (wanted.quiet || is_empty(message)) return true;
    Json line = {{"id", "moby.buildkit.trace"}, {"aux", to_base64(message.SerializeAsString())}};
    return answer.send(line).has_value();
  };
  build->progress().watch(send, [] { return false; });
  // A client that does not read on has gone; the build then ends by itself.
  solving.join();
  build->set_input({});
  if (!wanted.build_id.empty()) {
    std::lock_guard lock(mutex_);
    auto found = running_.find(wanted.build_id);
    if (found != running_.end() && found->second == running) running_.erase(found);
  }
  Result<void> told;
  if (result && result->contains("containerimage.config.digest")) {
    const std::string& id = result->at("containerimage.config.digest");
    Json line = {{"id", "moby.image.id"}, {"aux", {{"ID", id}}}};
    if (wanted.quiet) line = {{"stream", id + "\n"}};
    told = answer.send(line);
  }
  if (told) told = answer.finish(result ? Result<void>() : Result<void>(result.error()));
  return {};  // what could be said has been said
}

Result<void> DockerBuilds::offer_upload(const std::string& build_id, const SharedFd& socket) {
  std::unique_lock lock(mutex_);
  if (uploads_.size() >= most_uploads)
    return Error(Kind::Exhausted, "too many uploads wait for their builds");
  if (!uploads_.try_emplace(build_id, socket).second)
    return failure(Kind::WrongState, "build \"{}\" has its context already", build_id.substr(0, 64));
  changed_.notify_all();
  auto taken = [&] {
    auto found = uploads_.find(build_id);
    return found == uploads_.end() || found->second != socket;
  };
  if (changed_.wait_for(lock, upload_time, taken)) return write_status(socket->get(), {});
  uploads_.erase(build_id);
  return failure(Kind::NotFound, "no build \"{}\" has asked for this context", build_id.substr(0, 64));
}

Result<SharedFd> DockerBuilds::take_upload(const std::string& build_id) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, upload_time, [&] { return uploads_.contains(build_id); }))
    return failure(Kind::NotFound, "nobody has sent the context of build \"{}\"", build_id.substr(0, 64));
  SharedFd upload = uploads_.at(build_id);
  uploads_.erase(build_id);
  changed_.notify_all();
  return upload;
}

void DockerBuilds::cancel(const std::string& build_id, sys::UniqueFd socket) {
  Result<void> outcome;
  {
    std::lock_guard lock(mutex_);
    auto found = running_.find(build_id);
    if (found != running_.end()) {
      found->second->cancelled = true;
    } else {
      outcome = failure(Kind::NotFound, "no build with id \"{}\" is running", build_id.substr(0, 100));
    }
  }
  [[maybe_unused]] auto told = write_status(socket.get(), outcome);
}

}  // namespace berth::buildkit
