// system dial-stdio: joins the standard streams to the engine's socket, for -H ssh://.
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/context.h"
#include "apps/berth/output/stream.h"

namespace berth::cli::commands {
namespace {

Outcome<int> dial_stdio(Context& context, const grammar::Invocation&) {
  TRY(client::Connection connection, context.engine().open());
  std::array<char, 65536> buffer;
  bool input_open = true;
  while (true) {
    std::array<pollfd, 2> wait{pollfd{input_open ? STDIN_FILENO : -1, POLLIN, 0},
                               pollfd{connection.fd(), POLLIN, 0}};
    if (::poll(wait.data(), wait.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return Error::from_errno("poll", "the standard streams", errno);
    }
    if (wait[0].revents != 0) {
      ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
      if (got > 0) {
        CHECK(connection.send({buffer.data(), static_cast<size_t>(got)}));
      } else if (got == 0 || errno != EINTR) {
        input_open = false;
        ::shutdown(connection.fd(), SHUT_WR);
      }
    }
    if (wait[1].revents != 0) {
      TRY(auto got, connection.receive(client::Connection::Wait::Poll));
      if (got == client::Connection::Got::End) return 0;
      std::string_view bytes = connection.buffered();
      if (int error = output::write_fully(STDOUT_FILENO, bytes); error != 0) {
        return Error::from_errno("write", "standard output", error);
      }
      connection.consume_to(bytes.substr(bytes.size()));
    }
  }
}

}  // namespace

const Command dial_stdio_command{.summary = "Join the standard streams to the engine's socket",
                                 .action = dial_stdio};

}  // namespace berth::cli::commands
