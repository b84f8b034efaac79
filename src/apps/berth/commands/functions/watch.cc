// function watch: deploys a folder, and again whenever something in it changes.
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/functions/deploying.h"
#include "apps/berth/grammar/invocation.h"
#include "sys/fd.h"

namespace berth::cli::commands {
namespace {

namespace fs = std::filesystem;
using client::FunctionClient;
using grammar::Flag;
using grammar::Invocation;
using grammar::Type;

/// Editors write a file in several steps: quiet for this long means that they are done.
constexpr int kQuietMs = 50;
constexpr uint32_t kChanges =
    IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB;

/// A folder with all below it, watched through inotify.
class FolderWatch {
 public:
  static Outcome<FolderWatch> open(const std::string& folder) {
    sys::UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!fd) return Error::from_errno("inotify_init1", folder, errno);
    FolderWatch watch(std::move(fd), folder);
    CHECK(watch.add_all());
    return watch;
  }

  /// Returns when something has changed and nothing more did for a moment.
  Outcome<void> wait() {
    int timeout = -1;
    while (true) {
      pollfd ready{fd_.get(), POLLIN, 0};
      int count = ::poll(&ready, 1, timeout);
      if (count < 0 && errno != EINTR) return Error::from_errno("poll", folder_, errno);
      if (count == 0) break;
      if (count > 0 && drain()) timeout = kQuietMs;
    }
    return add_all();  // folders may be new
  }

 private:
  FolderWatch(sys::UniqueFd fd, std::string folder) : fd_(std::move(fd)), folder_(std::move(folder)) {}

  /// Whether something that counts was among the events.
  bool drain() {
    alignas(inotify_event) char buffer[16 << 10];
    bool counts = false;
    ssize_t size = 0;
    while ((size = ::read(fd_.get(), buffer, sizeof buffer)) > 0) {
      for (ssize_t at = 0; at < size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
        std::string_view name = event->len > 0 ? event->name : "";
        counts = counts || !(name.ends_with("~") || name.ends_with(".swp") || name.starts_with(".#") ||
                             name == "__pycache__");
        at += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
      }
    }
    return counts;
  }

  Outcome<void> add(const std::string& path) {
    if (::inotify_add_watch(fd_.get(), path.c_str(), kChanges) >= 0 || errno == ENOENT) return {};
    if (errno == ENOSPC)
      return refuse("{}: too many folders to watch; raise fs.inotify.max_user_watches", folder_);
    return Error::from_errno("watch", path, errno);
  }

  Outcome<void> add_all() {
    CHECK(add(folder_));
    std::error_code problem;
    for (fs::recursive_directory_iterator it(folder_, problem), end; !problem && it != end;
         it.increment(problem)) {
      if (!it->is_directory(problem) || it->is_symlink(problem)) continue;
      fs::path name = it->path().filename();
      if (name == ".git" || name == "__pycache__" || name == ".aws-sam") {
        it.disable_recursion_pending();
        continue;
      }
      CHECK(add(it->path().string()));
    }
    return {};
  }

  sys::UniqueFd fd_;
  std::string folder_;
};

Outcome<int> watch(Context& context, const Invocation& invocation) {
  TRY(FunctionSpec spec, spec_of(invocation));
  std::error_code problem;
  if (!fs::is_directory(spec.code, problem)) return refuse("{}: only a folder can be watched", spec.code);
  FunctionClient client(context);
  TRY(FolderWatch folder, FolderWatch::open(spec.code));
  TRY(Deployed first, deploy_function(client, spec));
  context.out.print("{} {}; watching {}\n", first == Deployed::Created ? "created" : "updated", spec.name,
                    spec.code);
  context.out.flush();
  while (true) {
    CHECK(folder.wait());
    auto begin = std::chrono::steady_clock::now();
    auto updated = update_code(client, spec);
    auto took =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
    // A mistake in the code is no reason to stop watching it.
    if (updated) {
      context.out.print("updated {} in {} ms\n", spec.name, took.count());
    } else {
      context.report(updated.error());
    }
    context.out.flush();
    if (context.out.broken() != 0) return 0;
  }
}

constexpr std::array flags{
    Flag{'e', "env", Type::List, "Set an environment variable (NAME=VALUE, or NAME for its value here)"},
    Flag{.name = "dead-letter",
         .type = Type::String,
         .help = "ARN of the queue for events that failed for good"},
    Flag{.name = "handler", .type = Type::String, .help = "What the runtime calls (app.lambda_handler)"},
    Flag{.name = "image", .type = Type::String, .visibility = grammar::Visibility::Hidden},
    Flag{.name = "layer", .type = Type::List, .help = "ARN of a layer"},
    Flag{'m', "memory", Type::Bytes, "Memory of a sandbox (256m)"},
    Flag{.name = "name", .type = Type::String, .help = "Name of the function (default: the folder's)"},
    Flag{.name = "runtime", .type = Type::String, .help = "python3.11, nodejs20.x, provided.al2023, ..."},
    Flag{.name = "timeout", .type = Type::Duration, .help = "Longest time of one invocation (30s)"},
};

}  // namespace

const Command watch_function_command{.usage = "[OPTIONS] [DIR]",
                                     .summary = "Deploy a folder, and again whenever it changes",
                                     .flags = flags,
                                     .arity = grammar::between(0, 1),
                                     .action = watch};

}  // namespace berth::cli::commands
