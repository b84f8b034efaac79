// Attaching clients: their connections go to the container's keeper, or wait with the container until it is
// started.
#include "engine/attach.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "engine/lifecycle.h"
#include "engine/transitions.h"
#include "io/peer_reading.h"

namespace berth::engine {
namespace {

constexpr size_t kMostPending = 64;
constexpr std::string_view kDefaultDetachKeys = "\x10\x11";  // ctrl-p ctrl-q

/// One key: a single character, or "ctrl-" and a letter or one of @[\]^_.
Result<char> parse_key(std::string_view text) {
  auto bad = [&] { return failure(Kind::InvalidArgument, "Unknown character: '{}'", text); };
  if (text.size() == 1) return text[0];
  constexpr std::string_view prefix = "ctrl-";
  if (!text.starts_with(prefix) || text.size() != prefix.size() + 1) return bad();
  char key = text.back();
  if (key >= 'a' && key <= 'z') return static_cast<char>(key - 'a' + 1);
  constexpr std::string_view others = "@abcdefghijklmnopqrstuvwxyz[\\]^_";
  size_t code = others.find(key);
  if (code == std::string_view::npos) return bad();
  return static_cast<char>(code);
}

launch::AttachRequest keeper_request(Core& core, const ContainerRecord& record, const Attach& attach,
                                     std::string detach_keys) {
  launch::AttachRequest request;
  request.id = core.next_attachment++;
  request.streams = {
      .input = attach.input && record.config.open_stdin, .output = attach.output, .error = attach.error};
  request.framing = attach.framing;
  bool closes = record.config.stdin_once && !record.config.tty;
  request.input_end = closes ? launch::InputEnd::CloseStdin : launch::InputEnd::EndAttach;
  if (attach.input && record.config.tty) request.detach_keys = std::move(detach_keys);
  request.already_read = attach.received;
  return request;
}

/// A whole buffer to a connection, waiting for room as often as needed.
io::Task<Result<void>> write_all(Core& core, int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<size_t>(count));
    } else if (errno == EAGAIN) {
      CO_CHECK(co_await core.loop.writable(socket));
    } else if (errno != EINTR) {
      co_return Error::from_errno("write to attached client", {}, errno);
    }
  }
  co_return Result<void>();
}

/// What the container has written so far.
io::Task<Result<void>> replay(Core& core, std::string id, const Attach& attach) {
  LogRequest request{.output = attach.output, .error = attach.error, .framing = attach.framing};
  CO_TRY(auto stream, core.containers_facade.logs(id, request));
  while (true) {
    io::Task<Result<std::string_view>> next = stream->next();
    CO_TRY(std::string_view bytes, co_await std::move(next));
    if (bytes.empty()) co_return Result<void>();
    io::Task<Result<void>> write = write_all(core, attach.socket.get(), bytes);
    CO_CHECK(co_await std::move(write));
  }
}

io::Task<Result<void>> attach_client(Core& core, ContainerHandle container, Attach attach) {
  std::string keys(kDefaultDetachKeys);
  if (!attach.detach_keys.empty()) {
    CO_TRY(keys, parse_detach_keys(attach.detach_keys));
  }
  const std::shared_ptr<Run> run = container->run;
  // One that has never run has written nothing, and its client starts it as soon as this is answered.
  const bool is_new = run == nullptr && container->record.state.status == Status::Created;
  if (attach.logs && !is_new && container->record.host_config.log_config.type != "none") {
    if (run) co_await run->settled.wait();
    co_await io::until_read(core.loop, attach.socket.get());
    io::Task<Result<void>> replayed = replay(core, container->record.id, attach);
    CO_CHECK(co_await std::move(replayed));
    // It ended meanwhile: there is nothing to wait for, unlike with one that is to be started.
    if (run && container->run != run) co_return Result<void>();
  }
  if (!attach.stream) co_return Result<void>();
  const ContainerRecord& record = container->record;
  CO_CHECK(may_attach(record, record.name));
  auto request = keeper_request(core, record, attach, std::move(keys));
  uint64_t id = request.id;
  if (container->run && container->run->keeper && container->run->settled.is_set()) {
    CO_CHECK(container->run->keeper->attach(request, std::move(attach.socket)));
    container->run->attachments[id] = "";
  } else {
    std::erase_if(container->pending,
                  [](const launch::Attachment& one) { return has_hung_up(one.client.get()); });
    if (container->pending.size() >= kMostPending) {
      co_return failure(Kind::Exhausted, "container {}: {} clients wait for its start already", record.id,
                        kMostPending);
    }
    container->pending.push_back({std::move(request), std::move(attach.socket)});
  }
  core.publish(record, "attach");
  co_return Result<void>();
}

}  // namespace

bool has_hung_up(int socket) {
  char byte;
  ssize_t count = ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  // A half-closed client may still read; only an error says that it has gone.
  return count < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTSOCK;
}

Result<std::string> parse_detach_keys(std::string_view text) {
  std::string keys;
  std::string_view rest = text;
  while (true) {
    size_t comma = rest.find(',');
    auto key = parse_key(rest.substr(0, comma));
    if (!key || keys.size() >= 16) {
      return failure(Kind::InvalidArgument, "Invalid detach keys ({}) provided", text);
    }
    keys += *key;
    if (comma == std::string_view::npos) return keys;
    rest.remove_prefix(comma + 1);
  }
}

Result<ContainerPtr> Containers::check_attach(std::string_view reference) const {
  TRY(auto container, core_.containers.find(reference));
  CHECK(may_attach(container->record, reference));
  return Container::share(container);
}

io::Task<Result<void>> Containers::attach(std::string reference, Attach request) {
  CO_TRY(auto container, core_.containers.find(reference));
  io::Task<Result<void>> attach = attach_client(core_, std::move(container), std::move(request));
  co_return co_await std::move(attach);
}

io::Task<Result<void>> Containers::resize(std::string reference, uint16_t height, uint16_t width) {
  CO_TRY(auto container, core_.containers.find(reference));
  if (!container->run || !container->run->keeper || !container->run->settled.is_set()) {
    co_return failure(Kind::WrongState, "container {} is not running", container->record.id);
  }
  CO_CHECK(container->run->keeper->resize("", height, width));
  core_.publish(container->record, "resize",
                {{"height", std::to_string(height)}, {"width", std::to_string(width)}});
  co_return Result<void>();
}

}  // namespace berth::engine
