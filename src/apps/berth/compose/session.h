// Session: what the subcommands share: the project, the engine (a client per thread), and what is told while
// things happen.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "apps/berth/client/client.h"
#include "apps/berth/compose/graph.h"
#include "apps/berth/compose/project.h"
#include "apps/berth/context.h"
#include "base/json_fwd.h"

namespace berth::cli::compose {

class DryRun;

/// A container of the project, as the engine lists it.
struct Observed {
  std::string id, name, service, hash, grants, image, image_id;
  std::string state;   ///< "created", "running", "paused", "restarting", "exited", "dead"
  std::string status;  ///< "Up 3 seconds (healthy)"
  int64_t number = 1;
  bool one_off = false;
  std::set<std::string> restarts_with;  ///< services whose restart is its own, from the label
  std::set<std::string> networks;       ///< by name and by id
  std::set<std::string> volumes;
  std::map<std::string, std::string> depends_on;  ///< service to condition, from the label
  bool running() const { return state == "running" || state == "restarting" || state == "paused"; }
};

/// " Container x-web-1  Started", or the same as JSON, from any thread.
class Reporter {
 public:
  enum class Mode { Plain, Json, Quiet };
  struct Style {
    Mode mode = Mode::Plain;
    bool dry_run = false;  ///< said in every line
    bool verbose = false;
  };
  Reporter(output::Stream& out, Style style) : out_(out), style_(style) {}
  void tell(std::string_view kind, std::string_view name, std::string_view what);
  /// " NAME published": of what has no kind.
  void tell_line(std::string_view name, std::string_view what);
  void warn(std::string_view text);
  /// A line of its own.
  void say(std::string_view text);
  /// The same, for those who want to know exactly (--verbose).
  void debug(std::string_view text);
  /// Where lines of hooks go instead of to stderr. Before other threads are there.
  using HookSink = std::function<void(std::string_view container, std::string_view line)>;
  void send_hook_lines_to(HookSink sink) { hook_sink_ = std::move(sink); }
  /// "web-1 -> | line"
  void hook_line(std::string_view container, std::string_view line);

 private:
  output::Stream& out_;
  Style style_;
  HookSink hook_sink_;
  std::mutex mutex_;
};

enum class Colours { OnTerminals, Always, Never };

class Session {
 public:
  /// `status`: where progress is told.
  Session(Context& context, Project project, output::Stream& status, Reporter::Style style)
      : context(context), project(std::move(project)), report(status, style), style(style) {}
  Session(Context& context, Project project) : Session(context, std::move(project), context.err, {}) {}

  Context& context;
  Project project;
  Reporter report;
  Reporter::Style style;
  size_t parallel = 16;
  bool all_resources = false;  ///< also what no service uses (--all-resources)
  Colours colours = Colours::OnTerminals;
  std::shared_ptr<DryRun> dry;  ///< where nothing is done in truth
  bool dry_run() const { return dry != nullptr; }
  /// Whether names before lines of logs are coloured.
  bool coloured() const {
    return colours == Colours::Always || (colours == Colours::OnTerminals && context.out.is_terminal());
  }

  /// A client of its own, for the calling thread.
  std::unique_ptr<client::Client> client() { return context.another_client(); }

  /// Containers with the project's label, one-off ones only when asked for.
  enum class Scope { Services, OneOffs, All };
  Outcome<std::vector<Observed>> containers(Scope scope = Scope::Services);
  /// Those of one service, by number.
  Outcome<std::vector<Observed>> containers_of(const std::string& service);
  /// The one with this number (0: the first that runs, else the first).
  Outcome<Observed> container(const std::string& service, int64_t number = 0);

  /// Names of services to work on: `chosen`, or all. Unknown ones: "no such service: x".
  Outcome<std::vector<std::string>> services(const std::vector<std::string>& chosen) const;
  /// Dependencies among `names`.
  Graph graph(const std::set<std::string>& names) const;
  /// Dependencies among the services of containers: from their labels, so that no file is needed.
  static Graph graph_of(const std::vector<Observed>& containers);

  /// Works on containers, service by service along `graph`, several services at once.
  Outcome<void> along(const std::vector<Observed>& containers, const Graph& graph,
                      const std::function<Outcome<void>(client::Client&, const Observed&)>& work);
};

/// Calls the engine; 304 (nothing to do) is no failure.
Outcome<client::Reply> call(client::Client& engine, std::string_view method, std::string path,
                            client::Query query = {}, std::string body = {});
Outcome<Json> call_json(client::Client& engine, std::string_view method, std::string path,
                        client::Query query = {}, std::string body = {});
/// {"label": ["com.docker.compose.project=NAME"]} with further labels.
std::string label_filter(const std::string& project, const std::vector<std::string>& more = {});

}  // namespace berth::cli::compose
