// One loop over standard input, the stream, signals and the awaited answer.
#include "apps/berth/terminal/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "apps/berth/output/stream.h"
#include "apps/berth/terminal/detach_keys.h"
#include "apps/berth/terminal/frames.h"

namespace berth::cli::terminal {
namespace {

constexpr size_t input_size = 128 * 1024;

class Session {
 public:
  Session(client::Upgraded stream, const SessionOptions& options, Signals& signals, client::Pending* awaited)
      : connection_(std::move(stream.connection)),
        options_(options),
        signals_(signals),
        awaited_(awaited),
        detach_(options.tty && options.attach_stdin ? options.detach_keys : std::string()),
        input_open_(options.attach_stdin) {}

  Outcome<SessionEnd> run() {
    if (options_.tty && options_.attach_stdin && is_terminal(STDIN_FILENO)) {
      TRY(raw_, RawMode::enter(STDIN_FILENO));
    }
    if (!input_open_) ::shutdown(connection_.fd(), SHUT_WR);
    CHECK(deliver());  // what came together with the head
    while (!ended_) CHECK(step());
    raw_.restore();
    return end_;
  }

 private:
  bool attached_output() const { return options_.attach_stdout || options_.attach_stderr; }

  void finish(SessionEnd end) {
    ended_ = true;
    end_ = end;
  }

  Outcome<void> step() {
    bool sending = sent_ < input_.size();
    std::array<pollfd, 4> wait{
        pollfd{input_open_ && !sending ? STDIN_FILENO : -1, POLLIN, 0},
        pollfd{connection_.fd(), static_cast<short>(POLLIN | (sending ? POLLOUT : 0)), 0},
        pollfd{signals_.fd(), POLLIN, 0},
        pollfd{awaited_ != nullptr && !awaited_->complete() && !awaited_lost_ ? awaited_->fd() : -1, POLLIN,
               0}};
    if (::poll(wait.data(), wait.size(), -1) < 0) {
      if (errno == EINTR) return {};
      return Error::from_errno("poll", "the session", errno);
    }
    if (wait[2].revents != 0) take_signals();
    if ((wait[1].revents & POLLOUT) != 0) CHECK(send());
    if ((wait[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) CHECK(receive());
    if (wait[3].revents != 0) advance();
    if (wait[0].revents != 0 && !ended_) CHECK(read_input());
    return {};
  }

  void take_signals() {
    while (auto signal = signals_.next()) {
      if (*signal == SIGWINCH) {
        if (options_.resize) options_.resize(size_of(STDOUT_FILENO));
      } else if (options_.proxy) {
        options_.proxy(*signal);
      } else {
        raw_.restore();
        die_by(*signal);
      }
    }
  }

  void advance() {
    // A lost connection is the caller's matter: the stream itself may go on without the engine.
    if (!awaited_->advance()) awaited_lost_ = true;
    if (awaited_->complete() && !attached_output()) finish(SessionEnd::Waited);
  }

  Outcome<void> read_input() {
    input_.resize(input_size);
    sent_ = 0;
    ssize_t got;
    do {
      got = ::read(STDIN_FILENO, input_.data(), input_.size());
    } while (got < 0 && errno == EINTR);
    input_.resize(got > 0 ? static_cast<size_t>(got) : 0);
    if (got <= 0) {
      input_open_ = false;
      ::shutdown(connection_.fd(), SHUT_WR);
      return {};
    }
    detaching_ = detach_.feed(input_);
    return send();
  }

  Outcome<void> send() {
    ssize_t written =
        ::send(connection_.fd(), input_.data() + sent_, input_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written >= 0) {
      sent_ += static_cast<size_t>(written);
      if (sent_ == input_.size() && detaching_) finish(SessionEnd::Detached);
      return {};
    }
    if (errno == EAGAIN || errno == EINTR) return {};
    // Nobody reads any more; what is still to come on the other direction decides how this ends.
    input_open_ = false;
    input_.clear();
    sent_ = 0;
    return {};
  }

  Outcome<void> receive() {
    TRY(auto got, connection_.receive(client::Connection::Wait::Poll));
    if (got == client::Connection::Got::Nothing) return {};
    if (got == client::Connection::Got::End) {
      if (!splitter_.engine_error().empty())
        return refuse("error from daemon in stream: {}", splitter_.engine_error());
      finish(SessionEnd::Stream);
      return {};
    }
    return deliver();
  }

  Outcome<void> deliver() {
    std::string_view bytes = connection_.buffered();
    if (bytes.empty()) return {};
    if (options_.tty) {
      if (attached_output()) CHECK(write(STDOUT_FILENO, bytes));
    } else {
      Outcome<void> written;
      CHECK(splitter_.feed(bytes, [&](FrameSplitter::Stream stream, std::string_view payload) {
        if (!written) return;
        bool error = stream == FrameSplitter::Stream::Stderr;
        if (error ? options_.attach_stderr : options_.attach_stdout) {
          written = gather(error ? STDERR_FILENO : STDOUT_FILENO, payload);
        }
      }));
      if (written) written = flush_gathered();
      if (!written) return written;
    }
    connection_.consume_to(bytes.substr(bytes.size()));
    return {};
  }

  /// Small frames of one stream are written together.
  Outcome<void> gather(int fd, std::string_view payload) {
    if (fd != gathered_fd_ && !gathered_.empty()) CHECK(flush_gathered());
    gathered_fd_ = fd;
    gathered_.append(payload);
    return {};
  }

  Outcome<void> flush_gathered() {
    if (gathered_.empty()) return {};
    auto written = write(gathered_fd_, gathered_);
    gathered_.clear();
    return written;
  }

  Outcome<void> write(int fd, std::string_view bytes) {
    int error = output::write_fully(fd, bytes);
    if (error == EPIPE) {
      raw_.restore();
      die_by(SIGPIPE);
    }
    if (error != 0) return Error::from_errno("write", "standard output", error);
    return {};
  }

  client::Connection connection_;
  const SessionOptions& options_;
  Signals& signals_;
  client::Pending* awaited_;
  DetachWatch detach_;
  RawMode raw_;
  FrameSplitter splitter_;
  std::string input_;
  size_t sent_ = 0;
  bool input_open_;
  bool detaching_ = false;
  bool awaited_lost_ = false;
  bool ended_ = false;
  SessionEnd end_ = SessionEnd::Stream;
  std::string gathered_;
  int gathered_fd_ = STDOUT_FILENO;
};

}  // namespace

Outcome<SessionEnd> run_session(client::Upgraded stream, const SessionOptions& options, Signals& signals,
                                client::Pending* awaited) {
  return Session(std::move(stream), options, signals, awaited).run();
}

Outcome<void> check_tty(bool attach_stdin, bool tty) {
  if (attach_stdin && tty && !is_terminal(STDIN_FILENO)) return refuse("the input device is not a TTY");
  return {};
}

}  // namespace berth::cli::terminal
