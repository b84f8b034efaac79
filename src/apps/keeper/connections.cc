// Daemons: the listening socket, what they command, what they are told.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>

#include "apps/keeper/keeper.h"
#include "sys/kernel_call.h"

namespace berth::keeper {

namespace call = sys::call;
using launch::Command;
using launch::Notice;
namespace command = launch::command;
namespace notice = launch::notice;

namespace {

constexpr unsigned long kSetWindowSize = 0x5414;

constinit char incoming[launch::kMaxMessage];

struct ControlBuffer {
  size_t length;
  int level;
  int type;
  int fds[launch::kMaxMessageFds];
};

/// Receives one packet; its size, 0 at the end, or -errno. Cut packets are -EMSGSIZE.
long receive_message(int socket, ReceivedFds& fds) {
  ControlBuffer control{};
  call::Piece piece{incoming, sizeof incoming};
  msghdr message{};
  message.msg_iov = reinterpret_cast<iovec*>(&piece);
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  long size = call::raw(__NR_recvmsg, socket, call::address(&message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) return size;
  if (message.msg_controllen >= CMSG_LEN(sizeof(int)) && control.level == SOL_SOCKET &&
      control.type == SCM_RIGHTS) {
    fds.count = (control.length - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < fds.count; ++i) fds.fds[i] = control.fds[i];
  }
  return (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ? -EMSGSIZE : size;
}

long send_packet(int socket, std::string_view bytes) {
  return call::raw(__NR_sendto, socket, call::address(bytes.data()), static_cast<long>(bytes.size()),
                   MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
}

bool is_token(std::string_view text) {
  for (char c : text) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '_' && c != '-' && c != '.') return false;
  }
  return text.size() <= launch::kMaxToken;
}

}  // namespace

int ReceivedFds::take(size_t index) {
  if (index >= count) return -1;
  int fd = fds[index];
  fds[index] = -1;
  return fd;
}

void ReceivedFds::close_rest() {
  for (size_t i = 0; i < count; ++i)
    if (fds[i] >= 0) call::close(fds[i]);
  count = 0;
}

/// keeper.sock in the exec directory, whose path may be longer than a socket's address takes.
long Keeper::listen() {
  long error = call::change_directory(kept_->exec_directory.c_str());
  if (error < 0) return error;
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "keeper.sock"};
  call::unlink(AT_FDCWD, address.sun_path);
  error = call::raw(__NR_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (error >= 0) {
    listener_ = static_cast<int>(error);
    listening_ = true;
    unsigned mask = call::set_umask(0177);
    error = call::raw(__NR_bind, listener_, call::address(&address), sizeof address);
    call::set_umask(mask);
    if (error >= 0) error = call::raw(__NR_listen, listener_, 8);
    if (error >= 0 && !watch(listener_, Watch::Listener, 0, EPOLLIN)) error = -ENOMEM;
  }
  call::change_directory("/");
  return error;
}

void Keeper::on_listener() {
  long fd = call::raw(__NR_accept4, listener_, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  Connection* connection = connections_.take();
  if (connection == nullptr) {
    call::close(static_cast<int>(fd));
    return;
  }
  connection->fd = static_cast<int>(fd);
  if (!watch(connection->fd, Watch::Connection, connections_.index(connection), EPOLLIN)) {
    drop(*connection);
    return;
  }
  greet(*connection);
}

void Keeper::greet(Connection& connection) {
  Target& target = init();
  auto phase = launch::KeeperPhase::Creating;
  if (target.phase == Phase::Ready) phase = launch::KeeperPhase::Ready;
  if (target.phase == Phase::Running) phase = launch::KeeperPhase::Running;
  if (target.phase == Phase::Exited) phase = launch::KeeperPhase::Exited;
  send(connection, notice::Hello{.id = kept_->id,
                                 .phase = static_cast<uint8_t>(phase),
                                 .pid = target.pid,
                                 .keeper_pid = static_cast<int32_t>(call::process_id()),
                                 .started = target.started});
  for (size_t i = 1; i < targets_.end(); ++i)
    if (Target* exec = targets_.find(i); exec != nullptr && exec->phase == Phase::Running)
      send(connection, notice::HelloExec{exec->token.text(), exec->pid});
  send(connection, notice::HelloEnd{});
  repeat_denials(connection);
  for (size_t i = 1; i < targets_.end(); ++i) {
    Target* exec = targets_.find(i);
    if (exec == nullptr || exec->phase != Phase::Exited) continue;
    send(connection, notice::ExecExited{exec->token.text(), exec->exit_code, exec->finished});
    targets_.give_back(exec);
  }
}

void Keeper::drop(Connection& connection) {
  if (connection.fd < 0) return;
  close_watched(connection.fd);
  connection.outbox.clear();
  connections_.give_back(&connection);
  if (restores_) fail_restore(-ECONNRESET);
  // How far its hooks have come nobody else can say.
  if (init().phase == Phase::Hooks && !anybody_listens()) on_keeper_failed(init(), -ECONNRESET, {});
  // Of a keeper that has been told to start nothing, or not in words that it knows, nobody else knows.
  if (init().phase == Phase::Announced) over_ = true;
}

void Keeper::on_connection(Connection& connection, uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush(connection);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive(connection);
}

void Keeper::receive(Connection& connection) {
  // A bounded number at a time, so that a flood of commands does not stop the output.
  for (int i = 0; i < 16; ++i) {
    ReceivedFds fds{};
    long size = receive_message(connection.fd, fds);
    if (size == -EAGAIN || size == -EINTR) return;
    // Told once, before the packets that a daemon sent until it was gone.
    if (size == -ECONNRESET) continue;
    Command command;
    launch::Decoder decoder(std::string_view(incoming, size > 0 ? static_cast<size_t>(size) : 0));
    if (size <= 0 || !decode_variant(decoder, command) || !decoder.at_end()) {
      fds.close_rest();
      return drop(connection);
    }
    long error = std::visit([&](const auto& each) { return perform(each, fds); }, command);
    fds.close_rest();
    if (error < 0) refuse(connection, command, error);
    if (connection.fd < 0) return;
  }
}

void Keeper::refuse(Connection& connection, const Command& command, long error) {
  Text token;
  std::visit(
      [&](const auto& each) {
        if constexpr (requires { each.token; }) token = each.token;
      },
      command);
  auto positive = static_cast<int32_t>(-error);
  // The RunExec that follows will fail too, and tell.
  if (std::holds_alternative<command::NewExec>(command)) return;
  if (std::holds_alternative<command::RunExec>(command))
    return send(connection, notice::Failed{.token = token, .step = notice::kKeeperStep, .error = positive});
  send(connection, notice::CommandFailed{static_cast<uint8_t>(command.index()), token, positive});
}

void Keeper::flush(Connection& connection) {
  while (!connection.outbox.empty()) {
    uint32_t size = 0;
    std::memcpy(&size, connection.outbox.data(), sizeof size);
    long sent = send_packet(connection.fd, {connection.outbox.data() + sizeof size, size});
    if (sent == -EAGAIN || sent == -ENOBUFS) return;
    // A daemon gone is noticed when it is read from; what it was to hear is lost with it.
    connection.outbox.consume(sizeof size + size);
  }
  change(connection.fd, Watch::Connection, connections_.index(&connection), EPOLLIN);
}

void Keeper::send(Connection& connection, std::string_view message) {
  if (connection.outbox.empty()) {
    long sent = send_packet(connection.fd, message);
    if (sent != -EAGAIN && sent != -ENOBUFS) return;
    change(connection.fd, Watch::Connection, connections_.index(&connection), EPOLLIN | EPOLLOUT);
  }
  auto size = static_cast<uint32_t>(message.size());
  if (!connection.outbox.append(&size, sizeof size) ||
      !connection.outbox.append(message.data(), message.size()))
    drop(connection);
}

void Keeper::send(Connection& connection, const Notice& notice) {
  launch::FixedBuffer<2047> message;
  launch::Encoder encoder(message);
  encode_variant(encoder, notice);
  send(connection, message.view());
}

void Keeper::tell(const Notice& notice) {
  launch::FixedBuffer<2047> message;
  launch::Encoder encoder(message);
  encode_variant(encoder, notice);
  for (size_t i = 0; i < connections_.end(); ++i)
    if (Connection* connection = connections_.find(i)) send(*connection, message.view());
}

bool Keeper::anybody_listens() {
  for (size_t i = 0; i < connections_.end(); ++i)
    if (connections_.find(i) != nullptr) return true;
  return false;
}

Target* Keeper::find_target(std::string_view token) {
  for (size_t i = 0; i < targets_.end(); ++i)
    if (Target* target = targets_.find(i); target != nullptr && target->token.view() == token) return target;
  return nullptr;
}

long Keeper::perform(const command::Launch& launch, ReceivedFds& fds) {
  Target& target = init();
  if (target.phase != Phase::Announced) return -EALREADY;
  size_t next = 0;
  int plan = fds.take(next++);
  int network = launch.network != 0 ? fds.take(next++) : -1;
  int sysfs = launch.sysfs != 0 ? fds.take(next++) : -1;
  std::array<int, 3> stdio{-1, -1, -1};
  if (launch.stdio != 0)
    for (int& fd : stdio) fd = fds.take(next++);
  int criu = launch.criu != 0 ? fds.take(next++) : -1;
  bool complete = plan >= 0 && (launch.network == 0 || network >= 0) && (launch.sysfs == 0 || sysfs >= 0) &&
                  (launch.stdio == 0 || stdio[2] >= 0) && (launch.criu == 0 || criu >= 0);
  long error = -EINVAL;
  if (complete)
    error = start(
        target, plan,
        {.network = network, .sysfs = sysfs, .stdio = launch.stdio != 0 ? &stdio : nullptr, .criu = criu});
  if (sysfs >= 0) call::close(sysfs);
  if (criu >= 0) call::close(criu);
  if (network >= 0) call::close(network);
  for (int fd : stdio)
    if (fd >= 0) call::close(fd);
  if (plan >= 0) call::close(plan);
  if (error < 0) on_keeper_failed(target, error, {});
  return 0;
}

long Keeper::perform(const command::NewExec& exec, ReceivedFds&) {
  if (exec.token.empty() || !is_token(exec.token.view())) return -EINVAL;
  if (init().phase != Phase::Running) return -ESRCH;
  if (find_target(exec.token.view()) != nullptr) return -EEXIST;
  Target* target = targets_.take();
  if (target == nullptr) return -ENFILE;
  target->phase = Phase::Announced;
  target->token.assign(exec.token.view());
  return 0;
}

long Keeper::perform(const command::RunExec& exec, ReceivedFds& fds) {
  Target* target = find_target(exec.token.view());
  if (target == nullptr || exec.token.empty()) return -ENOENT;
  if (target->phase != Phase::Announced) return -EALREADY;
  int plan = fds.take(0);
  long error = plan < 0 ? -EINVAL : init().phase != Phase::Running ? -ESRCH : start(*target, plan, {});
  if (plan >= 0) call::close(plan);
  if (error < 0) on_keeper_failed(*target, error, {});
  return 0;
}

long Keeper::perform(const command::Attach& attach, ReceivedFds& fds) {
  Target* target = find_target(attach.token.view());
  bool valid = attach.detach_keys.size() <= launch::kMaxDetachKeys &&
               attach.already_read.size() <= launch::kMaxAlreadyRead && attach.framing <= 1 &&
               attach.input_end <= 2 && attach.slow_client <= 1;
  if (!valid) return -EINVAL;
  Client* client = target == nullptr || target->phase == Phase::Exited ? nullptr : clients_.take();
  if (client == nullptr) {
    tell(notice::AttachEnded{attach.id, static_cast<uint8_t>(launch::AttachEnd::Refused)});
    return 0;
  }
  client->fd = fds.take(0);
  client->id = attach.id;
  client->target = static_cast<uint16_t>(targets_.index(target));
  client->streams = attach.streams;
  client->reads_input = (attach.streams & command::kAttachInput) != 0;
  client->framing = static_cast<launch::Framing>(attach.framing);
  client->input_end = static_cast<launch::InputEnd>(attach.input_end);
  client->slow_client = static_cast<launch::SlowClient>(attach.slow_client);
  client->keys = launch::DetachKeys(attach.detach_keys.view());
  if (client->fd < 0) {
    clients_.give_back(client);
    return -EBADF;
  }
  call::control(client->fd, F_SETFL, call::control(client->fd, F_GETFL) | O_NONBLOCK);
  // Regular files cannot be polled: they are always ready.
  client->polls = watch(client->fd, Watch::Client, clients_.index(client), 0);
  if (client->reads_input && attach.already_read.size() > 0) take_input(*client, attach.already_read.view());
  if (!client->ending) watch_client(*client);
  return 0;
}

long Keeper::perform(const command::Release&, ReceivedFds&) {
  Target& target = init();
  if (restores_) return on_restored(target);
  if (target.phase == Phase::Hooks) return proceed(target);
  if (!target.wait_for_release) return -EINVAL;
  if (target.phase == Phase::Ready) return proceed(target);
  if (target.phase != Phase::Creating) return -EALREADY;
  target.wait_for_release = false;  // granted before it was asked for
  return 0;
}

long Keeper::perform(const command::Resize& resize, ReceivedFds&) {
  Target* target = find_target(resize.token.view());
  if (target == nullptr || target->phase == Phase::Exited) return -ESRCH;
  target->rows = resize.rows;
  target->columns = resize.columns;
  if (target->phase == Phase::Announced || target->phase == Phase::Creating || target->phase == Phase::Hooks)
    return 0;
  if (!target->terminal) return -ENOTTY;
  return set_window_size(*target);
}

long Keeper::set_window_size(Target& target) {
  struct {
    uint16_t rows, columns, width, height;
  } size{target.rows, target.columns, 0, 0};
  if (target.input < 0) return -ENOTTY;
  return call::device_control(target.input, kSetWindowSize, call::address(&size));
}

long Keeper::perform(const command::Signal& signal, ReceivedFds&) {
  Target* target = find_target(signal.token.view());
  if (target == nullptr || target->pidfd < 0) return -ESRCH;
  if (restores_ && is_init(*target)) {
    fail_restore(-ECANCELED);
    return 0;
  }
  return call::send_signal(target->pidfd, signal.number);
}

long Keeper::perform(const command::CloseStdin& close, ReceivedFds&) {
  Target* target = find_target(close.token.view());
  if (target == nullptr || target->phase == Phase::Exited) return -ESRCH;
  target->close_input = true;
  update_input(*target);
  return 0;
}

}  // namespace berth::keeper
