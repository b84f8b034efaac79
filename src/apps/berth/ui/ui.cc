// berth ui: serves the page for as long as the command runs.
#include <errno.h>
#include <poll.h>
#include <signal.h>

#include <array>
#include <cstdlib>

#include "apps/berth/context.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/terminal/signals.h"
#include "apps/berth/ui/server.h"
#include "apps/berth/ui/ui_command.h"

namespace berth::cli::ui {
namespace {

using grammar::Flag;

Outcome<int> serve(Context& context, const grammar::Invocation& invocation) {
  // The first request starts an engine if none runs, as with every command, and tells early what is wrong.
  CHECK(context.engine().negotiate());
  TRY(sys::UniqueFd listener, listen_on_loopback(static_cast<uint16_t>(invocation.number("port"))));
  TRY(uint16_t port, port_of(listener));
  // Before the first thread, which inherits what is blocked.
  TRY(auto signals, terminal::Signals::block(terminal::Signals::Take::Endings, false));
  Site site{Gate::create(port), context.endpoint(), context.configuration().http_headers};
  // After '#', which browsers send to nobody.
  context.out.print("http://127.0.0.1:{}/#token={}\n", port, site.gate.token());
  context.out.flush();
  context.err.line("Open this address in a browser; Ctrl-C ends it");
  context.err.flush();
  while (true) {
    std::array<pollfd, 2> wait{pollfd{listener.get(), POLLIN, 0}, pollfd{signals.fd(), POLLIN, 0}};
    if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR)
      return Error::from_errno("poll", "the page's socket", errno);
    if (wait[1].revents != 0) break;
    if (wait[0].revents != 0) accept_one(listener, site);
  }
  // Threads wait for browsers and for the engine; nothing of theirs needs an orderly end.
  std::_Exit(0);
}

constexpr std::array flags{
    Flag{'p', "port", grammar::Type::Uint16, "Port on 127.0.0.1 (default: one that is free)"},
};

}  // namespace

const grammar::Command ui_command{
    .summary = "Show the engine in a browser",
    .flags = flags,
    .action = serve,
    .description = "Serve a page that shows containers, images, networks and volumes, until interrupted.",
};

}  // namespace berth::cli::ui
