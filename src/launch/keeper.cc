// The daemon's end of the keeper protocol.
#include "launch/keeper.h"

#include <fcntl.h>

#include "base/format.h"
#include "launch/failure_text.h"
#include "launch/plan_codec.h"
#include "launch/seccomp_filter.h"
#include "sys/memory_file.h"
#include "sys/packet_socket.h"
#include "sys/process.h"

namespace berth::launch {
namespace {

constexpr int kControlFd = 3;        ///< where the keeper finds its first connection
constexpr int kHelloTimeout = 5000;  ///< milliseconds

std::string encode(const Command& command) {
  std::string bytes;
  Encoder encoder(bytes);
  encode_variant(encoder, command);
  return bytes;
}

Text text_of(const std::string& value) {
  return {value.c_str(), static_cast<uint32_t>(value.size())};
}
Blob blob_of(const std::string& value) {
  return {value.data(), static_cast<uint32_t>(value.size())};
}

Result<void> send_command(int socket, const Command& command, std::span<const int> fds = {}) {
  return sys::send_packet(socket, encode(command), fds);
}

Result<void> send_attach(int socket, const AttachRequest& request, const sys::UniqueFd& client) {
  if (request.already_read.size() > kMaxAlreadyRead)
    return Error(Kind::InvalidArgument, "too much input came with the attach request");
  if (request.detach_keys.size() > kMaxDetachKeys)
    return Error(Kind::InvalidArgument, "invalid detach keys: the sequence is too long");
  command::Attach attach{
      .id = request.id,
      .token = text_of(request.exec_token),
      .streams = static_cast<uint8_t>((request.streams.input ? command::kAttachInput : 0) |
                                      (request.streams.output ? command::kAttachOutput : 0) |
                                      (request.streams.error ? command::kAttachError : 0)),
      .framing = static_cast<uint8_t>(request.framing),
      .input_end = static_cast<uint8_t>(request.input_end),
      .slow_client = static_cast<uint8_t>(request.slow_client),
      .detach_keys = blob_of(request.detach_keys),
      .already_read = blob_of(request.already_read)};
  int fd = client.get();
  return send_command(socket, attach, {&fd, 1});
}

Result<sys::UniqueFd> make_plan_file(const LaunchPlan& plan) {
  TRY(std::string bytes, encode_plan(plan));
  return sys::make_sealed_file("berth-plan", bytes);
}

/// Events made of notices; nothing for those that are none.
struct ToEvent {
  std::optional<KeeperEvent> operator()(const notice::Hello&) const { return std::nullopt; }
  std::optional<KeeperEvent> operator()(const notice::HelloExec&) const { return std::nullopt; }
  std::optional<KeeperEvent> operator()(const notice::HelloEnd&) const { return std::nullopt; }
  std::optional<KeeperEvent> operator()(const notice::Created& n) const { return event::Created{n.pid}; }
  std::optional<KeeperEvent> operator()(const notice::Ready& n) const { return event::Ready{n.pid}; }
  std::optional<KeeperEvent> operator()(const notice::Started& n) const {
    if (n.token.empty()) return event::Started{n.pid, from_unix_nanoseconds(n.time)};
    return event::ExecStarted{std::string(n.token.view()), n.pid};
  }
  std::optional<KeeperEvent> operator()(const notice::Failed& n) const {
    if (n.token.empty()) return event::Failed{describe_failure(n)};
    return event::ExecFailed{std::string(n.token.view()), describe_failure(n)};
  }
  std::optional<KeeperEvent> operator()(const notice::Exited& n) const {
    return event::Exited{ExitRecord{.exit_code = n.exit_code,
                                    .signal = n.signal,
                                    .oom_killed = n.oom_killed != 0,
                                    .started = from_unix_nanoseconds(n.started),
                                    .finished = from_unix_nanoseconds(n.finished)}};
  }
  std::optional<KeeperEvent> operator()(const notice::ExecExited& n) const {
    return event::ExecExited{std::string(n.token.view()), n.exit_code, from_unix_nanoseconds(n.finished)};
  }
  std::optional<KeeperEvent> operator()(const notice::AttachEnded& n) const {
    return event::AttachEnded{n.id, static_cast<AttachEnd>(n.reason)};
  }
  std::optional<KeeperEvent> operator()(const notice::Denied& n) const {
    return event::Denied{n.pid, call_name(n.architecture, n.number)};
  }
  std::optional<KeeperEvent> operator()(const notice::Streams& n) const {
    return event::Streams{{n.input, n.output, n.error}};
  }
  std::optional<KeeperEvent> operator()(const notice::Hooks& n) const { return event::Hooks{n.pid}; }
  std::optional<KeeperEvent> operator()(const notice::CommandFailed& n) const {
    const char* name = n.command < std::size(kCommandNames) ? kCommandNames[n.command] : "?";
    return event::CommandFailed{name, std::string(n.token.view()), n.error};
  }
};

Result<Notice> decode_notice(std::string_view bytes) {
  Notice notice;
  Decoder decoder(bytes);
  if (!decode_variant(decoder, notice) || !decoder.at_end())
    return Error(Kind::Corrupt, "the keeper sent something that is no message");
  return notice;
}

}  // namespace

Result<KeeperProgram> KeeperProgram::load(const std::string& path) {
  KeeperProgram program;
  TRY(program.fd_, sys::load_sealed_program(path.c_str()));
  TRY(program.fd_, sys::clear_of_passed(program.fd_.get()));
  return program;
}

Result<Keeper> Keeper::spawn(const KeeperProgram& program, const LaunchPlan& plan, LaunchFds fds) {
  if (!plan.mapped_mounts.empty() || !plan.node_mounts.empty())
    return Error(Kind::Unsupported, "idmapped mounts are not supported for this container");
  TRY(auto plan_file, make_plan_file(plan));
  TRY(auto pair, sys::make_packet_pair());
  // Queued before it runs: the keeper finds its work when it looks.
  for (const auto& attachment : fds.attachments)
    CHECK(send_attach(pair.first.get(), attachment.request, attachment.client));
  std::vector<int> passed{plan_file.get()};
  if (fds.network_namespace) passed.push_back(fds.network_namespace.get());
  if (fds.sysfs) passed.push_back(fds.sysfs.get());
  for (const auto& fd : fds.stdio) passed.push_back(fd.get());
  if (fds.criu_socket) passed.push_back(fds.criu_socket.get());
  command::Launch launch{.network = static_cast<uint8_t>(fds.network_namespace ? 1 : 0),
                         .sysfs = static_cast<uint8_t>(fds.sysfs ? 1 : 0),
                         .stdio = static_cast<uint8_t>(fds.stdio.empty() ? 0 : 1),
                         .criu = static_cast<uint8_t>(fds.criu_socket ? 1 : 0)};
  CHECK(send_command(pair.first.get(), launch, passed));
  TRY(pid_t pid, sys::spawn_process({.program = program.fd(),
                                     .arguments = {"berth-keeper", std::string(plan.setup.id.view())},
                                     .environment = {},
                                     .fds = {{pair.second.get(), kControlFd}}}));
  Keeper keeper;
  keeper.socket_ = std::move(pair.first);
  keeper.keeper_pid_ = pid;
  keeper.is_child_ = true;
  keeper.state_.id = std::string(plan.setup.id.view());
  keeper.state_.keeper_pid = pid;
  return keeper;
}

Result<Keeper> Keeper::connect(const std::string& socket_path) {
  Keeper keeper;
  TRY(keeper.socket_, sys::connect_packet_socket(socket_path));
  while (true) {
    CHECK(sys::await_packet(keeper.fd(), kHelloTimeout));
    TRY(auto packet, sys::receive_packet(keeper.fd(), kMaxMessage));
    if (!packet) continue;
    if (packet->bytes.empty()) return Error(Kind::Unavailable, "the keeper has gone");
    TRY(Notice notice, decode_notice(packet->bytes));
    if (std::holds_alternative<notice::HelloEnd>(notice)) return keeper;
    if (const auto* hello = std::get_if<notice::Hello>(&notice)) {
      if (hello->version != kPlanVersion) keeper.state_.other_version = true;
      keeper.state_.id = std::string(hello->id.view());
      keeper.state_.phase = static_cast<KeeperPhase>(hello->phase);
      keeper.state_.pid = hello->pid;
      keeper.state_.keeper_pid = hello->keeper_pid;
      keeper.state_.started = from_unix_nanoseconds(hello->started);
      keeper.keeper_pid_ = hello->keeper_pid;
    } else if (const auto* exec = std::get_if<notice::HelloExec>(&notice)) {
      keeper.state_.execs.push_back({std::string(exec->token.view()), exec->pid});
    } else {
      // An event that overtook the greeting.
      if (auto event = std::visit(ToEvent{}, notice)) keeper.early_.push_back(std::move(*event));
    }
  }
}

Keeper::~Keeper() = default;

Result<std::optional<KeeperEvent>> Keeper::next_event() {
  if (!early_.empty()) {
    KeeperEvent event = std::move(early_.front());
    early_.erase(early_.begin());
    return std::optional(std::move(event));
  }
  while (true) {
    auto packet = sys::receive_packet(socket_.get(), kMaxNotice);
    if (!packet && packet.error().errno_value() != ECONNRESET) return packet.error();
    if (!packet || (*packet && (*packet)->bytes.empty())) {
      if (is_child_) sys::reap_process(keeper_pid_);
      is_child_ = false;
      return Error(Kind::Unavailable, "the keeper has gone");
    }
    if (!*packet) return std::optional<KeeperEvent>();
    TRY(Notice notice, decode_notice((*packet)->bytes));
    if (auto event = std::visit(ToEvent{}, notice)) return event;
  }
}

Result<void> Keeper::release() {
  return send_command(socket_.get(), command::Release{});
}

Result<void> Keeper::attach(const AttachRequest& request, sys::UniqueFd client) {
  return send_attach(socket_.get(), request, client);
}

Result<void> Keeper::exec(const std::string& token, const ExecPlan& plan,
                          std::vector<Attachment> attachments) {
  if (state_.other_version)
    return Error(Kind::Unsupported,
                 "the container was started by another version of berth: restart it to exec into it");
  TRY(auto plan_file, make_plan_file(plan));
  CHECK(send_command(socket_.get(), command::NewExec{text_of(token)}));
  for (auto& attachment : attachments) {
    attachment.request.exec_token = token;
    CHECK(send_attach(socket_.get(), attachment.request, attachment.client));
  }
  int fd = plan_file.get();
  return send_command(socket_.get(), command::RunExec{text_of(token)}, {&fd, 1});
}

Result<void> Keeper::resize(const std::string& exec_token, uint16_t rows, uint16_t columns) {
  return send_command(socket_.get(), command::Resize{text_of(exec_token), rows, columns});
}

Result<void> Keeper::signal(const std::string& exec_token, int signal_number) {
  return send_command(socket_.get(), command::Signal{text_of(exec_token), signal_number});
}

Result<void> Keeper::adopt(pid_t pid, int terminal) const {
  command::Adopt adopt{.pid = pid, .terminal = static_cast<uint8_t>(terminal >= 0 ? 1 : 0)};
  return send_command(socket_.get(), adopt, {&terminal, terminal >= 0 ? size_t{1} : size_t{0}});
}

Result<void> Keeper::ask_streams() {
  if (state_.other_version)
    return Error(Kind::Unsupported,
                 "the container was started by another version of berth: restart it to checkpoint it");
  return send_command(socket_.get(), command::AskStreams{});
}

Result<void> Keeper::close_stdin(const std::string& exec_token) {
  return send_command(socket_.get(), command::CloseStdin{text_of(exec_token)});
}

}  // namespace berth::launch
