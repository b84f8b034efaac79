// berthd: the engine of berth as a program.
#include <cstdio>
#include <span>

#include "apps/berthd/daemon.h"
#include "apps/berthd/hooks_verb.h"
#include "apps/berthd/options.h"
#include "apps/berthd/rootless/host_process.h"
#include "base/format.h"
#include "base/log.h"
#include "base/log_lines.h"
#include "launch/hooks.h"

namespace {

int fail(const berth::Error& error, int code) {
  fmt::print(stderr, "berthd: {}\n", error.message());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace berth;
  if (argc == 4 && std::string_view(argv[1]) == berthd::rootless::kHostVerb)
    return berthd::rootless::run_host_process(argv[2], argv[3]);
  if (argc == 3 && std::string_view(argv[1]) == berthd::kHooksVerb) return launch::run_hook_document(argv[2]);
  std::span<const char* const> arguments{argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0)};
  auto options = berthd::load_options(arguments);
  if (!options) {
    fail(options.error(), 125);
    fmt::print(stderr, "See 'berthd --help'.\n");
    return 125;
  }
  switch (options->action) {
    case berthd::Options::Action::ShowHelp:
      fmt::print("{}", berthd::help_text());
      return 0;
    case berthd::Options::Action::ShowVersion:
      fmt::print("berthd version {}\n", BERTH_VERSION);
      return 0;
    case berthd::Options::Action::Validate:
      if (auto valid = berthd::check_options(*options); !valid) return fail(valid.error(), 1);
      fmt::print("configuration OK\n");
      return 0;
    case berthd::Options::Action::Serve:
      break;
  }
  log::set_level(options->log_level);
  log::set_format(options->log_format);
  auto served = berthd::run_daemon(*std::move(options), arguments);
  return served ? 0 : fail(served.error(), 1);
}
