// Subcommands of `berth compose`: a table of names, flags and actions, and what every action is given.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/berth/compose/session.h"
#include "apps/berth/grammar/command.h"
#include "apps/berth/grammar/invocation.h"

namespace berth::cli::compose {

/// The flags before the subcommand, and the way to the project.
class Setup {
 public:
  /// `dry`: what seems to be the engine where nothing is to be done in truth.
  Setup(Context& context, const grammar::Invocation& globals, std::shared_ptr<DryRun> dry = nullptr);

  Context& context;

  enum class EnvFiles { Read, Left };
  /// The project from its files. `selected`: services that the command names.
  Outcome<std::unique_ptr<Session>> project(const std::vector<std::string>& selected = {},
                                            EnvFiles env_files = EnvFiles::Read) const;
  /// For what works on containers that are there. As docker's compose has it: with -p and without -f the
  /// project is known by its labels alone, and also where $COMPOSE_PROJECT_NAME is set and the files cannot
  /// be used.
  Outcome<std::unique_ptr<Session>> project_or_name(const std::vector<std::string>& selected = {}) const;
  LoadOptions load_options(const std::vector<std::string>& selected = {}) const;

 private:
  Outcome<std::unique_ptr<Session>> open(Project project) const;
  Outcome<std::unique_ptr<Session>> known_by_name(const std::string& name) const;
  /// The files of a project that was published to a registry, by name.
  Result<std::map<std::string, std::string>> artifact(const std::string& reference) const;
  const grammar::Invocation& globals_;
  std::shared_ptr<DryRun> dry_;
};

struct Subcommand {
  std::string_view name;
  const grammar::Command* command;
  Outcome<int> (*action)(Setup& setup, const grammar::Invocation& invocation);
};

/// `down --remove-orphans`.
Outcome<int> take_down(Setup& setup);
std::span<const Subcommand> life_subcommands();     ///< up, create, scale
std::span<const Subcommand> down_subcommands();     ///< down
std::span<const Subcommand> verb_subcommands();     ///< start, stop, kill, ...
std::span<const Subcommand> list_subcommands();     ///< ps, ls, volumes
std::span<const Subcommand> logs_subcommands();     ///< logs
std::span<const Subcommand> view_subcommands();     ///< top, port, ...
std::span<const Subcommand> config_subcommands();   ///< config
std::span<const Subcommand> image_subcommands();    ///< build, pull, push, images
std::span<const Subcommand> publish_subcommands();  ///< publish
std::span<const Subcommand> inside_subcommands();   ///< exec, run, cp, watch, ...

/// A project of files from elsewhere runs what others wrote: asks, unless -y or BERTH_COMPOSE_YES says so
/// already. No, or nobody to ask: a failure that says how.
Outcome<void> confirm_remote(Session& session, const grammar::Invocation& invocation);
inline constexpr grammar::Flag yes_flag{'y', "yes", grammar::Type::Bool,
                                        "Run what files from elsewhere say without being asked"};

/// Until a container that does not stop is killed.
inline constexpr grammar::Flag timeout_flag{'t', "timeout", grammar::Type::Int,
                                            "Seconds until a container that does not stop is killed"};
/// The flag's seconds, where it is given.
std::optional<int64_t> timeout_of(const grammar::Invocation& invocation);

/// The services are there; where only containers tell of them, a warning will do.
Outcome<void> require_services(Session& session, const std::vector<std::string>& services);
/// Containers of the services that the arguments name (all without arguments).
Outcome<std::vector<Observed>> chosen_containers(Session& session, const std::vector<std::string>& services);

}  // namespace berth::cli::compose
