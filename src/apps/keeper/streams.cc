// Output of processes to the log and to clients; input of clients to processes. A client that does not keep
// up stops the reading of its process's output (SlowClient::Wait), so at most one piece is held for it while
// the process lives.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "apps/keeper/keeper.h"
#include "sys/kernel_call.h"

namespace berth::keeper {

namespace call = sys::call;
using launch::AttachEnd;
namespace notice = launch::notice;

namespace {

constexpr size_t kPiece = 64 << 10;
constexpr size_t kInputPiece = 16 << 10;
constinit char piece[kPiece];

}  // namespace

// Output.

void Keeper::watch_output(Target& target) {
  size_t index = targets_.index(&target) * 2;
  for (size_t i = 0; i < 2; ++i) {
    if (target.output[i] < 0) continue;
    // A paused stream is not watched at all: epoll would tell of its hang-up again and again.
    bool wanted = !target.paused;
    uint32_t events = EPOLLIN;
    if (target.terminal && target.input_waits) {
      wanted = true;
      events = target.paused ? EPOLLOUT : EPOLLIN | EPOLLOUT;
    }
    if (!wanted)
      unwatch(target.output[i]);
    else if (!watch(target.output[i], Watch::Output, index + i, events))
      change(target.output[i], Watch::Output, index + i, events);
  }
}

void Keeper::on_output(Target& target, size_t stream, uint32_t events) {
  if (target.terminal && (events & EPOLLOUT) != 0) on_input_room(target);
  if (target.output[stream] < 0) return;
  if (target.paused) {
    if ((events & EPOLLHUP) != 0) unwatch(target.output[stream]);
    return;
  }
  // Not for ever: there are others.
  for (int i = 0; i < 8 && !target.paused; ++i)
    if (read_output(target, stream) != Stream::More) return;
}

Keeper::Stream Keeper::read_output(Target& target, size_t stream) {
  if (target.output[stream] < 0) return Stream::Ended;  // hung up by whoever got the last piece
  long size = call::read(target.output[stream], piece, kPiece);
  if (size == -EAGAIN || size == -EINTR) return Stream::Empty;
  if (size <= 0) {  // a terminal ends with EIO
    close_output(target, stream);
    return Stream::Ended;
  }
  std::string_view bytes(piece, static_cast<size_t>(size));
  if (is_init(target) && log_.is_open())
    log_.append(stream == 0 ? launch::LogStream::Stdout : launch::LogStream::Stderr, bytes, wall_clock());
  deliver(target, stream, bytes);
  return bytes.size() == kPiece ? Stream::More : Stream::Empty;
}

/// After the process's end: what it left in its pipes. Other processes that still hold them do not matter.
void Keeper::drain(Target& target) {
  for (size_t i = 0; i < 2; ++i) {
    while (target.output[i] >= 0) {
      long size = call::read(target.output[i], piece, kPiece);
      if (size == -EINTR) continue;
      if (size <= 0) break;
      std::string_view bytes(piece, static_cast<size_t>(size));
      if (is_init(target) && log_.is_open())
        log_.append(i == 0 ? launch::LogStream::Stdout : launch::LogStream::Stderr, bytes, wall_clock());
      deliver(target, i, bytes);
    }
  }
}

void Keeper::close_output(Target& target, size_t stream) {
  if (target.terminal) {
    // Others may open the terminal again and would be hung up by its master's closing; just stop listening.
    unwatch(target.output[stream]);
    target.output[stream] = -1;
    return;
  }
  close_watched(target.output[stream]);
}

void Keeper::close_streams(Target& target) {
  for (size_t i = 0; i < 2; ++i) {
    if (target.output[i] == target.input) target.output[i] = -1;
    close_watched(target.output[i]);
  }
  close_watched(target.input);
}

void Keeper::deliver(Target& target, size_t stream, std::string_view bytes) {
  auto index = targets_.index(&target);
  uint8_t wanted = stream == 0 ? launch::command::kAttachOutput : launch::command::kAttachError;
  for (size_t i = 0; i < clients_.end(); ++i) {
    Client* client = clients_.find(i);
    if (client != nullptr && client->target == index && (client->streams & wanted) != 0 && !client->ending)
      deliver_to(*client, stream, bytes);
  }
  if (target.phase != Phase::Exited) update_flow(target);
}

void Keeper::deliver_to(Client& client, size_t stream, std::string_view bytes) {
  auto size = static_cast<uint32_t>(bytes.size());
  unsigned char header[8] = {static_cast<unsigned char>(stream + 1),
                             0,
                             0,
                             0,
                             static_cast<unsigned char>(size >> 24),
                             static_cast<unsigned char>(size >> 16),
                             static_cast<unsigned char>(size >> 8),
                             static_cast<unsigned char>(size)};
  size_t header_size = client.framing == launch::Framing::Multiplexed ? sizeof header : 0;
  size_t sent = 0;
  if (client.output.empty()) {
    call::Piece pieces[2] = {{header, header_size}, {bytes.data(), bytes.size()}};
    long written = call::write_pieces(client.fd, pieces, 2);
    if (written < 0 && written != -EAGAIN && written != -EINTR)
      return end_client(client, AttachEnd::ClientGone);
    sent = written > 0 ? static_cast<size_t>(written) : 0;
    if (sent == header_size + bytes.size()) return;
    if (client.slow_client == launch::SlowClient::Disconnect)
      return end_client(client, AttachEnd::ClientGone);
  }
  size_t header_sent = sent < header_size ? sent : header_size;
  bytes.remove_prefix(sent - header_sent);
  if (!client.output.append(header + header_sent, header_size - header_sent) ||
      !client.output.append(bytes.data(), bytes.size()))
    return end_client(client, AttachEnd::ClientGone);
  watch_client(client);
}

/// Reads on, or not, as its clients keep up.
void Keeper::update_flow(Target& target) {
  bool full = false;
  auto index = targets_.index(&target);
  for (size_t i = 0; i < clients_.end() && !full; ++i)
    if (Client* client = clients_.find(i)) full = client->target == index && !client->output.empty();
  if (full == target.paused) return;
  target.paused = full;
  watch_output(target);
}

// Input.

bool Keeper::takes_input(const Target& target) const {
  return target.opens_stdin && target.input >= 0 && !target.close_input &&
         (target.phase == Phase::Running || target.phase == Phase::Creating || target.phase == Phase::Hooks ||
          target.phase == Phase::Ready);
}

void Keeper::read_client(Client& client) {
  long size = call::read(client.fd, piece, kInputPiece);
  if (size == -EAGAIN || size == -EINTR) return;
  if (size < 0) return end_client(client, AttachEnd::ClientGone);
  if (size == 0) return on_input_end(client);
  if (client.reads_input) take_input(client, {piece, static_cast<size_t>(size)});
}

void Keeper::take_input(Client& client, std::string_view bytes) {
  // `bytes` may lie in `piece`: filtered in parts through a buffer of its own.
  char filtered[4096 + launch::kMaxDetachKeys];
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, 4096);
    bytes.remove_prefix(part.size());
    size_t size = 0;
    bool detach = client.keys.filter(part, filtered, size);
    if (size > 0 && !client.input.append(filtered, size)) return end_client(client, AttachEnd::ClientGone);
    if (detach) {
      feed_target(client);
      return end_client(client, AttachEnd::Detached);
    }
  }
  feed_target(client);
}

/// Hands over what the client has typed, as far as the process takes it.
void Keeper::feed_target(Client& client) {
  Target* target = targets_.find(client.target);
  if (target == nullptr || target->input < 0) return;
  while (!client.input.empty()) {
    long written = call::write(target->input, client.input.data(), client.input.size());
    if (written == -EINTR) continue;
    if (written == -EAGAIN) {
      target->input_waits = true;
      return;
    }
    // It has closed its stdin: what comes for it is dropped.
    client.input.consume(written < 0 ? client.input.size() : static_cast<size_t>(written));
  }
}

/// Brings the process's stdin and its clients in step with what is queued: watched while full, closed when
/// asked.
void Keeper::update_input(Target& target) {
  bool queued = false;
  auto index = targets_.index(&target);
  for (size_t i = 0; i < clients_.end(); ++i)
    if (Client* client = clients_.find(i); client != nullptr && client->target == index)
      queued |= !client->input.empty();
  if (target.input < 0) return;
  if (target.terminal) {
    watch_output(target);
  } else if (target.close_input && !queued) {
    close_watched(target.input);
    target.input_waits = false;
  } else if (target.input_waits) {
    watch(target.input, Watch::Input, index, EPOLLOUT);
  } else {
    unwatch(target.input);
  }
}

void Keeper::on_input_room(Target& target) {
  target.input_waits = false;
  auto index = targets_.index(&target);
  for (size_t i = 0; i < clients_.end(); ++i) {
    Client* client = clients_.find(i);
    if (client == nullptr || client->target != index || target.input_waits) continue;
    feed_target(*client);
    watch_client(*client);
  }
  update_input(target);
}

void Keeper::on_input_end(Client& client) {
  client.input_ended = true;
  Target* target = targets_.find(client.target);
  if (client.reads_input && target != nullptr) {
    if (client.input_end != launch::InputEnd::CloseStdin) return end_client(client, AttachEnd::InputEnded);
    if (!target->terminal) {
      target->close_input = true;
      update_input(*target);
    }
  }
  watch_client(client);
}

// Clients.

void Keeper::on_client(Client& client, uint32_t events) {
  Target* target = targets_.find(client.target);
  serve_client(client, events);
  // Whatever has become of the client, others may wait for its process to be read or fed again.
  if (target == nullptr || target->phase == Phase::Exited) return;
  update_input(*target);
  update_flow(*target);
}

void Keeper::serve_client(Client& client, uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush_client(client);
  if (!is_client(client)) return;
  if ((events & EPOLLIN) != 0) read_client(client);
  if (!is_client(client)) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0)
    end_client(client, AttachEnd::ClientGone);
  else if (!client.ending)
    watch_client(client);
}

/// Watches the client for what can be done with it now.
void Keeper::watch_client(Client& client) {
  if (!client.polls) return;
  Target* target = targets_.find(client.target);
  uint32_t events = 0;
  if (!client.output.empty()) events |= EPOLLOUT;
  bool wants = client.reads_input ? client.input.empty() && target != nullptr && takes_input(*target) : true;
  if (wants && !client.input_ended && !client.ending) events |= EPOLLIN;
  if (events == client.interest) return;
  client.interest = events;
  change(client.fd, Watch::Client, clients_.index(&client), events);
}

/// The process has come to a point where its clients may have something for it.
void Keeper::update_clients(Target& target) {
  auto index = targets_.index(&target);
  for (size_t i = 0; i < clients_.end(); ++i) {
    Client* client = clients_.find(i);
    if (client == nullptr || client->target != index) continue;
    feed_target(*client);
    watch_client(*client);
  }
  update_input(target);
}

void Keeper::flush_client(Client& client) {
  while (!client.output.empty()) {
    long written = call::write(client.fd, client.output.data(), client.output.size());
    if (written == -EAGAIN || written == -EINTR) return;
    if (written < 0) {
      client.output.clear();
      return end_client(client, AttachEnd::ClientGone);
    }
    client.output.consume(static_cast<size_t>(written));
  }
  if (client.ending) remove_client(client);
}

bool Keeper::is_client(const Client& client) {
  return clients_.find(clients_.index(&client)) == &client;
}

/// Ends the attachment once its output has been written; at once when the client has gone.
void Keeper::end_client(Client& client, AttachEnd reason) {
  if (!client.ending) client.end_reason = reason;
  client.ending = true;
  if (reason == AttachEnd::ClientGone) client.output.clear();
  if (client.output.empty()) return remove_client(client);
  watch_client(client);
}

void Keeper::end_clients_of(Target& target, AttachEnd reason) {
  auto index = targets_.index(&target);
  for (size_t i = 0; i < clients_.end(); ++i)
    if (Client* client = clients_.find(i); client != nullptr && client->target == index)
      end_client(*client, reason);
}

void Keeper::remove_client(Client& client) {
  // A socket closed with bytes unread would reset the connection, and the peer lose the end of the output.
  constexpr int kBoth = 2;
  bool refused = client.end_reason == AttachEnd::Refused;
  if (!refused && call::raw(__NR_shutdown, client.fd, kBoth) >= 0) {
    char unread[512];
    while (call::read(client.fd, unread, sizeof unread) > 0) {
    }
  }
  close_watched(client.fd);
  client.output.clear();
  client.input.clear();
  tell(notice::AttachEnded{client.id, static_cast<uint8_t>(client.end_reason)});
  clients_.give_back(&client);
  Target* target = targets_.find(client.target);
  bool left = client.end_reason == AttachEnd::ClientGone || client.end_reason == AttachEnd::InputEnded;
  if (left && client.input_end == launch::InputEnd::HangUp && target != nullptr) hang_up(*target);
}

/// What a line that drops means to a terminal: its master is closed. A process that is only being made, of
/// which it may not even be known yet that it has a terminal, gets there first (on_running).
void Keeper::hang_up(Target& target) {
  target.hung_up = true;
  if (target.phase == Phase::Running && target.terminal) close_streams(target);
}

}  // namespace berth::keeper
