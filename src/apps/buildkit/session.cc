#include "apps/buildkit/session.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel_posix.h>

#include <algorithm>
#include <cctype>

#include <filesync.grpc.pb.h>
#include <secrets.grpc.pb.h>
#include <upload.grpc.pb.h>
#include "base/format.h"

namespace berth::buildkit {
namespace {

constexpr auto answer_time = std::chrono::seconds(30);
constexpr int max_message = 32 << 20;
/// Clients take messages of 4 MiB at most.
constexpr size_t max_chunk = size_t{1} << 20;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

void limit(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + answer_time);
}

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(max_message);
  return arguments;
}

}  // namespace

Error to_error(const std::string& what, int code, const std::string& message) {
  Kind kind = code == grpc::StatusCode::NOT_FOUND           ? Kind::NotFound
              : code == grpc::StatusCode::CANCELLED         ? Kind::Cancelled
              : code == grpc::StatusCode::UNAVAILABLE       ? Kind::Unavailable
              : code == grpc::StatusCode::DEADLINE_EXCEEDED ? Kind::DeadlineExceeded
              : code == grpc::StatusCode::UNIMPLEMENTED     ? Kind::Unsupported
                                                            : Kind::InvalidArgument;
  return failure(kind, "{}: {}", what, message.empty() ? "the client gave no reason" : message);
}

Session::Session(Introduction introduction, sys::UniqueFd socket)
    : introduction_(std::move(introduction)),
      channel_(grpc::CreateCustomInsecureChannelFromFd("session", socket.release(), channel_arguments())) {
  std::set<std::string> methods;
  for (const std::string& method : introduction_.methods) methods.insert(lower(method));
  introduction_.methods = std::move(methods);
}

bool Session::offers(std::string_view method) const {
  return introduction_.methods.empty() || introduction_.methods.contains(lower(method));
}

bool Session::is_connected() const {
  auto state = channel_->GetState(false);
  return state != GRPC_CHANNEL_SHUTDOWN && state != GRPC_CHANNEL_TRANSIENT_FAILURE;
}

Result<std::string> Session::secret(const std::string& id) const {
  auto stub = moby::buildkit::secrets::v1::Secrets::NewStub(channel_);
  grpc::ClientContext context;
  limit(context);
  moby::buildkit::secrets::v1::GetSecretRequest request;
  request.set_id(id);
  moby::buildkit::secrets::v1::GetSecretResponse answer;
  auto status = stub->GetSecret(&context, request, &answer);
  if (!status.ok()) return to_error("secret " + id, status.error_code(), status.error_message());
  return std::move(*answer.mutable_data());
}

std::optional<Credentials> Session::credentials(const std::string& host) const {
  auto stub = moby::filesync::v1::Auth::NewStub(channel_);
  grpc::ClientContext context;
  limit(context);
  moby::filesync::v1::CredentialsRequest request;
  request.set_host(host);
  moby::filesync::v1::CredentialsResponse answer;
  if (!stub->Credentials(&context, request, &answer).ok() || answer.secret().empty()) return std::nullopt;
  return Credentials{.username = answer.username(), .secret = answer.secret()};
}

Result<void> Session::pull_upload(const std::string& path,
                                  const std::function<Result<void>(std::string_view)>& write,
                                  const Cancelled& cancelled) const {
  auto stub = moby::upload::v1::Upload::NewStub(channel_);
  grpc::ClientContext context;
  context.AddMetadata("urlpath", path);
  context.AddMetadata("urlhost", "buildkit-session");
  auto stream = stub->Pull(&context);
  moby::upload::v1::BytesMessage message;
  while (stream->Read(&message)) {
    auto written =
        cancelled() ? Result<void>(Error(Kind::Cancelled, "build cancelled")) : write(message.data());
    if (!written) {
      context.TryCancel();
      stream->Finish();
      return written;
    }
  }
  auto status = stream->Finish();
  if (!status.ok()) return to_error("reading the context", status.error_code(), status.error_message());
  return {};
}

Result<void> Session::send_file(int exporter, const std::function<Result<std::string>()>& read) const {
  auto stub = moby::filesync::v1::FileSend::NewStub(channel_);
  grpc::ClientContext context;
  context.AddMetadata("buildkit-attachable-exporter-id", std::to_string(exporter));
  auto stream = stub->DiffCopy(&context);
  while (true) {
    auto piece = read();
    if (!piece) {
      context.TryCancel();
      stream->Finish();
      return std::move(piece).error();
    }
    if (piece->empty()) break;
    bool sent = true;
    for (size_t at = 0; sent && at < piece->size(); at += max_chunk) {
      moby::filesync::v1::BytesMessage message;
      message.set_data(piece->substr(at, max_chunk));
      sent = stream->Write(message);
    }
    if (!sent) break;
  }
  stream->WritesDone();
  moby::filesync::v1::BytesMessage message;
  while (stream->Read(&message)) {
  }
  auto status = stream->Finish();
  if (!status.ok()) return to_error("sending the result", status.error_code(), status.error_message());
  return {};
}

void SessionTable::add(std::shared_ptr<Session> session) {
  std::lock_guard lock(mutex_);
  sessions_[session->id()] = std::move(session);
  changed_.notify_all();
}

void SessionTable::remove(const std::string& id, const Session* session) {
  std::lock_guard lock(mutex_);
  auto found = sessions_.find(id);
  if (found != sessions_.end() && found->second.get() == session) sessions_.erase(found);
}

Result<std::shared_ptr<Session>> SessionTable::find(const std::string& id,
                                                    std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  auto known = [&] { return sessions_.contains(id); };
  if (id.empty() || !changed_.wait_for(lock, patience, known))
    return failure(Kind::NotFound, "no session \"{}\" is connected", id.substr(0, 64));
  return sessions_.at(id);
}

}  // namespace berth::buildkit
