#include "apps/berth/compose/watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "apps/berth/commands/commands.h"
#include "apps/berth/compose/converge.h"
#include "apps/berth/compose/images.h"
#include "base/json.h"
#include "spec/dockerignore.h"
#include "sys/fd.h"

namespace berth::cli::compose {
namespace {

namespace filesystem = std::filesystem;
using client::path_of;

struct Rule {
  std::string service, action, path, target;
  std::vector<std::string> ignore, include;
  std::vector<std::string> command;  ///< sync+exec
  bool initial_sync = false;
};

/// inotify on folders and everything below them.
class Tree {
 public:
  static Outcome<Tree> open() {
    Tree tree;
    tree.fd_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!tree.fd_) return Error::from_errno("inotify_init1", "", errno);
    return tree;
  }

  Outcome<void> add(const std::string& path) {
    constexpr uint32_t mask =
        IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB;
    int id = ::inotify_add_watch(fd_.get(), path.c_str(), mask);
    if (id < 0) {
      if (errno == ENOENT) return {};
      return Error::from_errno("watch", path, errno);
    }
    paths_[id] = path;
    std::error_code ignored;
    if (!filesystem::is_directory(path, ignored)) return {};
    for (const auto& entry : filesystem::directory_iterator(path, ignored)) {
      bool link = entry.is_symlink(ignored);
      if (!link && entry.is_directory(ignored) && entry.path().filename() != ".git")
        CHECK(add(entry.path().string()));
    }
    return {};
  }

  /// Paths that have changed; waits for the first and gathers what follows within a moment. Empty: `stop` is
  /// readable.
  Outcome<std::set<std::string>> changes(int stop) {
    std::set<std::string> changed;
    int patience = -1;
    while (true) {
      pollfd entries[2] = {{fd_.get(), POLLIN, 0}, {stop, POLLIN, 0}};
      int ready = ::poll(entries, 2, patience);
      if (ready > 0 && entries[1].revents != 0) return std::set<std::string>();
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0) return Error::from_errno("poll", "inotify", errno);
      if (ready == 0) return changed;
      CHECK(take(changed));
      patience = 60;
    }
  }

 private:
  Outcome<void> take(std::set<std::string>& changed) {
    alignas(inotify_event) char buffer[64 * 1024];
    ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
    if (got < 0)
      return errno == EAGAIN || errno == EINTR ? Outcome<void>()
                                               : Outcome<void>(Error::from_errno("read", "inotify", errno));
    for (char* at = buffer; at < buffer + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      auto known = paths_.find(event->wd);
      if (known == paths_.end()) continue;
      std::string path = event->len == 0 ? known->second : known->second + "/" + event->name;
      if ((event->mask & IN_ISDIR) != 0 && (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0) CHECK(add(path));
      changed.insert(path);
    }
    return {};
  }

  sys::UniqueFd fd_;
  std::map<int, std::string> paths_;
};

Outcome<std::vector<Rule>> rules_of(const Session& session, const std::vector<std::string>& services) {
  std::vector<Rule> rules;
  for (const std::string& name : services) {
    const Service& service = session.project.services.at(name);
    const Value* develop = service.config.find("develop");
    const Value* watch = develop == nullptr ? nullptr : develop->find("watch");
    for (const Value& item : watch == nullptr ? Value::List() : watch->items) {
      std::string path = service.path() + ".develop.watch";
      Rule rule{.service = name};
      TRY(rule.action, text_of(item, "action", path));
      TRY(rule.path, text_of(item, "path", path));
      TRY(rule.target, text_of(item, "target", path));
      TRY(rule.ignore, texts_of(item, "ignore", path));
      TRY(rule.include, texts_of(item, "include", path));
      TRY(rule.initial_sync, bool_of(item, "initial_sync", path));
      if (const Value* exec = item.find("exec")) {
        TRY(rule.command, texts_of(*exec, "command", path));
      }
      rules.push_back(std::move(rule));
    }
  }
  return rules;
}

class Watcher {
 public:
  Watcher(Session& session, std::vector<Rule> rules) : session_(session), rules_(std::move(rules)) {}

  Outcome<void> initial_sync() {
    for (const Rule& rule : rules_) {
      if (rule.initial_sync && rule.action.starts_with("sync")) CHECK(sync(rule, {rule.path}));
    }
    return {};
  }

  /// What cannot be done is told; the next change tries again.
  void apply(const std::set<std::string>& changed) {
    std::set<std::string> rebuild, restart;
    for (const Rule& rule : rules_) {
      std::set<std::string> mine;
      for (const std::string& path : changed) {
        if (concerns(rule, path)) mine.insert(path);
      }
      if (mine.empty()) continue;
      if (rule.action == "rebuild") rebuild.insert(rule.service);
      if (rule.action.starts_with("sync")) tell(rule.service, sync(rule, mine));
      if (rule.action == "restart" || rule.action == "sync+restart") restart.insert(rule.service);
      if (rule.action == "sync+exec") tell(rule.service, run_command(rule));
    }
    for (const std::string& service : rebuild) tell(service, rebuild_service(service));
    for (const std::string& service : restart) {
      if (!rebuild.contains(service)) tell(service, restart_service(service));
    }
  }

 private:
  void tell(const std::string& service, const Outcome<void>& outcome) {
    if (!outcome) session_.report.warn(fmt::format("{}: {}", service, outcome.error().text()));
  }

  static bool concerns(const Rule& rule, const std::string& path) {
    if (path != rule.path && !path.starts_with(rule.path + "/")) return false;
    std::string relative =
        path == rule.path ? filesystem::path(path).filename().string() : path.substr(rule.path.size() + 1);
    if (relative == ".git" || relative.starts_with(".git/")) return false;
    // What editors write beside the file.
    if (relative.ends_with("~") || relative.ends_with(".swp") || relative.ends_with(".swx")) return false;
    if (!rule.include.empty() && !is_ignored(rule.include, relative)) return false;
    return !is_ignored(rule.ignore, relative);
  }

  static std::string target_of(const Rule& rule, const std::string& path) {
    return path == rule.path ? rule.target : rule.target + "/" + path.substr(rule.path.size() + 1);
  }

  Outcome<void> sync(const Rule& rule, const std::set<std::string>& paths) {
    TRY(auto containers, session_.containers_of(rule.service));
    for (const Observed& container : containers) {
      if (!container.running()) continue;
      for (const std::string& path : paths) CHECK(sync_below(rule, container, path));
    }
    session_.report.tell("Service", rule.service, fmt::format("{} file(s) synced", paths.size()));
    return {};
  }

  /// A folder goes whole, or file by file where some of it is left out.
  Outcome<void> sync_below(const Rule& rule, const Observed& container, const std::string& path) {
    std::error_code ignored;
    const bool whole = rule.ignore.empty() && rule.include.empty();
    if (whole || !filesystem::is_directory(path, ignored)) return sync_one(rule, container, path);
    if (rule.include.empty()) CHECK(make_folder(container, target_of(rule, path)));
    for (auto entry = filesystem::recursive_directory_iterator(path, ignored);
         entry != filesystem::recursive_directory_iterator(); entry.increment(ignored)) {
      const std::string below = entry->path().string();
      if (entry->is_directory(ignored) && !entry->is_symlink(ignored)) {
        const bool left_out =
            entry->path().filename() == ".git" || is_ignored(rule.ignore, below.substr(rule.path.size() + 1));
        if (left_out)
          entry.disable_recursion_pending();
        else if (rule.include.empty())
          CHECK(make_folder(container, target_of(rule, below)));
      } else if (concerns(rule, below)) {
        CHECK(sync_one(rule, container, below));
      }
    }
    return {};
  }

  Outcome<void> make_folder(const Observed& container, const std::string& folder) {
    if (folder.empty() || folder == "/") return {};
    TRY(int code,
        perform(session_.context, commands::exec_command, "exec", {container.id, "mkdir", "-p", folder}));
    if (code == 0) return {};
    return Failure::plain(fmt::format("cannot make {} in {}", folder, container.name));
  }

  Outcome<void> sync_one(const Rule& rule, const Observed& container, const std::string& path) {
    std::string target = target_of(rule, path);
    std::error_code ignored;
    if (!filesystem::exists(filesystem::symlink_status(path, ignored))) {
      TRY(int code,
          perform(session_.context, commands::exec_command, "exec", {container.id, "rm", "-rf", target}));
      return code == 0 ? Outcome<void>()
                       : Outcome<void>(
                             Failure::plain(fmt::format("cannot remove {} in {}", target, container.name)));
    }
    std::string parent = filesystem::path(target).parent_path().string();
    bool folder = filesystem::is_directory(path, ignored);
    std::string made = folder ? target : parent;
    CHECK(make_folder(container, made));
    std::string source = folder ? path + "/." : path;
    TRY(int code, perform(session_.context, commands::copy_command, "cp",
                          {"--quiet", source, fmt::format("{}:{}", container.id, target)}));
    return code == 0 ? Outcome<void>() : Outcome<void>(Failure::exit(code));
  }

  Outcome<void> run_command(const Rule& rule) {
    if (rule.command.empty()) return {};
    TRY(auto containers, session_.containers_of(rule.service));
    for (const Observed& container : containers) {
      std::vector<std::string> words{container.id};
      words.insert(words.end(), rule.command.begin(), rule.command.end());
      CHECK(perform(session_.context, commands::exec_command, "exec", words));
    }
    return {};
  }

  Outcome<void> rebuild_service(const std::string& service) {
    session_.report.tell("Service", service, "Rebuilding");
    CHECK(build_images(session_, {service}, {.quiet = true}));  // else the running container stays
    return Converger(session_, {.services = {service}, .dependencies = false}).run();
  }

  Outcome<void> restart_service(const std::string& service) {
    TRY(auto containers, session_.containers_of(service));
    auto engine = session_.client();
    for (const Observed& container : containers) {
      session_.report.tell("Container", container.name, "Restarting");
      CHECK(call(*engine, "POST", path_of("containers", container.id, "restart")));
      session_.report.tell("Container", container.name, "Started");
    }
    return {};
  }

  Session& session_;
  std::vector<Rule> rules_;
};

}  // namespace

bool is_ignored(const std::vector<std::string>& patterns, const std::string& relative) {
  if (patterns.empty()) return false;
  std::string text;
  for (const std::string& pattern : patterns) {
    text += (pattern.starts_with("./") ? pattern.substr(2) : pattern) + "\n";
    // A pattern without a slash means the name wherever it is, as people write "node_modules/".
    std::string bare = pattern.ends_with('/') ? pattern.substr(0, pattern.size() - 1) : pattern;
    if (bare.find('/') == std::string::npos) text += "**/" + bare + "\n";
  }
  auto lines = spec::parse_ignore_file(text);
  auto set = lines ? spec::PatternSet::create(*lines) : Result<spec::PatternSet>(lines.error());
  return set && set->matches(relative);
}

struct Watching::State {
  Context context;  // its streams and its client: it is used beside the main thread
  Session session;
  Tree tree;
  Watcher watcher;
  sys::UniqueFd stop_read, stop_write;
  std::atomic<bool> idle{true};
  std::thread thread;

  State(const Session& other, Tree watched, std::vector<Rule> rules)
      : context(other.context.options(), other.context.tree()),
        session(context, other.project),
        tree(std::move(watched)),
        watcher(session, std::move(rules)) {}

  Outcome<void> watch() {
    CHECK(watcher.initial_sync());
    session.context.err.line("Watch enabled");
    session.context.err.flush();
    while (true) {
      TRY(auto changed, tree.changes(stop_read.get()));
      if (changed.empty()) return {};
      idle = false;
      watcher.apply(changed);
      idle = true;
    }
  }
};

Outcome<std::unique_ptr<Watching>> Watching::prepare(Session& session,
                                                     const std::vector<std::string>& services) {
  TRY(auto names, session.services(services));
  TRY(auto rules, rules_of(session, names));
  if (rules.empty()) {
    return Failure::plain(
        "none of the selected services is configured for watch: give one a develop.watch section");
  }
  TRY(Tree tree, Tree::open());
  for (const Rule& rule : rules) CHECK(tree.add(rule.path));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe2", "", errno);
  auto state = std::make_unique<State>(session, std::move(tree), std::move(rules));
  state->stop_read.reset(ends[0]);
  state->stop_write.reset(ends[1]);
  state->session.parallel = session.parallel;
  CHECK(state->context.engine().negotiate());
  return std::unique_ptr<Watching>(new Watching(std::move(state)));
}

Watching::Watching(std::unique_ptr<State> state) : state_(std::move(state)) {}

Watching::~Watching() {
  stop();
  if (state_->thread.joinable()) state_->thread.join();
}

void Watching::begin() {
  state_->thread = std::thread([this] {
    if (auto outcome = state_->watch(); !outcome) state_->session.report.warn(outcome.error().text());
  });
}

void Watching::stop() {
  state_->stop_write.reset();
}

bool Watching::is_idle() const {
  return state_->idle;
}

Outcome<void> Watching::run() {
  return state_->watch();
}

}  // namespace berth::cli::compose
