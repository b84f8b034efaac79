#include "apps/berth/compose/watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/compose/converge.h"
#include "apps/berth/compose/images.h"
#include "apps/berth/compose/watch_tree.h"
#include "base/json.h"
#include "spec/dockerignore.h"
#include "sys/fd.h"

namespace berth::cli::compose {
namespace {

namespace filesystem = std::filesystem;
using client::path_of;

/// Files of the build's context that its ignore file leaves out.
struct BuildIgnore {
  std::string context;
  std::optional<spec::PatternSet> patterns;

  bool matches(const std::string& path) const {
    return patterns && path.starts_with(context + "/") && patterns->matches(path.substr(context.size() + 1));
  }
};

struct Rule {
  std::string service, action, path, target;
  std::vector<std::string> ignore, include;
  BuildIgnore build_ignore;
  std::vector<std::string> command;  ///< sync+exec
  bool initial_sync = false;
};

BuildIgnore build_ignore_of(const Service& service) {
  BuildIgnore ignore;
  const Value* build = service.config.find("build");
  if (build == nullptr) return ignore;
  const Value* context = build->find("context");
  const Value* file = build->find("dockerfile");
  ignore.context = context == nullptr ? "" : context->text;
  for (const std::string& name : spec::ignore_file_candidates(file == nullptr ? "Dockerfile" : file->text)) {
    auto text = archive::read_text(ignore.context + "/" + name, size_t{1} << 20);
    if (!text) continue;
    auto lines = spec::parse_ignore_file(*text);
    auto set = lines ? spec::PatternSet::create(*lines) : Result<spec::PatternSet>(lines.error());
    if (set) ignore.patterns = std::move(*set);
    break;
  }
  return ignore;
}

/// What is mounted needs nobody to bring it.
bool is_mounted(const Service& service, const std::string& path) {
  const Value* volumes = service.config.find("volumes");
  for (const Value& volume : volumes == nullptr ? Value::List() : volumes->items) {
    const Value* source = volume.find("source");
    if (source == nullptr || volume.find("type")->text != "bind") continue;
    if (path == source->text || path.starts_with(source->text + "/")) return true;
  }
  return false;
}

Outcome<Rule> rule_of(Session& session, const Service& service, const Value& item) {
  const std::string path = service.path() + ".develop.watch";
  Rule rule{.service = service.name};
  TRY(rule.action, text_of(item, "action", path));
  TRY(rule.path, text_of(item, "path", path));
  TRY(rule.target, text_of(item, "target", path));
  TRY(rule.ignore, texts_of(item, "ignore", path));
  TRY(rule.include, texts_of(item, "include", path));
  TRY(rule.initial_sync, bool_of(item, "initial_sync", path));
  TRY(const bool by_old_name, bool_of(item, "x-initialSync", path));
  if (by_old_name) {
    session.report.warn("x-initialSync is DEPRECATED, please use the official `initial_sync` attribute");
    rule.initial_sync = true;
  }
  if (const Value* exec = item.find("exec")) {
    TRY(rule.command, texts_of(*exec, "command", path));
  }
  if (rule.action == "rebuild" && service.config.find("build") == nullptr)
    return complaint(item, path, "cannot rebuild a service without a build section");
  return rule;
}

Outcome<std::vector<Rule>> rules_of(Session& session, const std::vector<std::string>& services) {
  std::vector<Rule> rules;
  for (const std::string& name : services) {
    const Service& service = session.project.services.at(name);
    const Value* develop = service.config.find("develop");
    const Value* watch = develop == nullptr ? nullptr : develop->find("watch");
    for (const Value& item : watch == nullptr ? Value::List() : watch->items) {
      TRY(Rule rule, rule_of(session, service, item));
      if (rule.action.starts_with("sync") && is_mounted(service, rule.path)) {
        session.report.warn(fmt::format(
            "path '{}' also declared by a bind mount volume, this path won't be monitored!", rule.path));
        continue;
      }
      rule.build_ignore = build_ignore_of(service);
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
      if (rebuild.contains(service)) continue;
      auto restarted = restart_service(service);
      if (restarted) say(fmt::format("service(s) [\"{}\"] restarted", service));
      tell(service, restarted);
    }
    session_.report.debug(fmt::format("batch complete: count[{}]", changed.size()));
  }

 private:
  void say(std::string_view text) { session_.report.say(text); }
  void tell(const std::string& service, const Outcome<void>& outcome) {
    if (!outcome) session_.report.warn(fmt::format("{}: {}", service, outcome.error().text()));
  }

  static bool concerns(const Rule& rule, const std::string& path) {
    if (path != rule.path && !path.starts_with(rule.path + "/")) return false;
    std::string relative =
        path == rule.path ? filesystem::path(path).filename().string() : path.substr(rule.path.size() + 1);
    if (relative == ".git" || relative.starts_with(".git/")) return false;
    if (rule.build_ignore.matches(path) || is_passing(relative)) return false;
    if (!rule.include.empty() && !is_ignored(rule.include, relative)) return false;
    return !is_ignored(rule.ignore, relative);
  }

  /// What editors write beside the file.
  static bool is_passing(const std::string& relative) {
    static const std::vector<std::string> patterns{"**/*~",       "**/.*.sw[pxon]",   "**/4913",
                                                   "**/.#*",      "**/#*#",           "**/.*.kate-swp",
                                                   "**/.idea/**", "**/*___jb_old___", "**/*___jb_tmp___"};
    return is_ignored(patterns, relative);
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
    say(fmt::format("Syncing service \"{}\" after {} changes were detected", rule.service, paths.size()));
    return {};
  }

  /// A folder goes whole, or file by file where some of it is left out.
  Outcome<void> sync_below(const Rule& rule, const Observed& container, const std::string& path) {
    std::error_code ignored;
    const bool whole = rule.ignore.empty() && rule.include.empty() && !rule.build_ignore.patterns;
    if (whole || !filesystem::is_directory(path, ignored)) return sync_one(rule, container, path);
    if (rule.include.empty()) CHECK(make_folder(container, target_of(rule, path)));
    for (auto entry = filesystem::recursive_directory_iterator(path, ignored);
         entry != filesystem::recursive_directory_iterator(); entry.increment(ignored)) {
      const std::string below = entry->path().string();
      if (entry->is_directory(ignored) && !entry->is_symlink(ignored)) {
        const bool left_out = entry->path().filename() == ".git" || rule.build_ignore.matches(below) ||
                              is_ignored(rule.ignore, below.substr(rule.path.size() + 1));
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
    say(fmt::format("Rebuilding service(s) [\"{}\"] after changes were detected...", service));
    CHECK(build_images(session_, {service}, {.quiet = true}));  // else the running container stays
    say(fmt::format("service(s) [\"{}\"] successfully built", service));
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
  WatchTree tree;
  Watcher watcher;
  sys::UniqueFd stop_read, stop_write;
  std::atomic<bool> idle{true};
  std::thread thread;

  State(const Session& other, WatchTree watched, std::vector<Rule> rules)
      : context(other.context.options(), other.context.tree()),
        session(context, other.project, context.err, other.style),
        tree(std::move(watched)),
        watcher(session, std::move(rules)) {}

  Outcome<void> watch() {
    CHECK(watcher.initial_sync());
    session.report.say("Watch enabled");
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
  TRY(WatchTree tree, WatchTree::open());
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
