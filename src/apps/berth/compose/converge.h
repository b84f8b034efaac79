// Converging: from what is to what the project says: networks, volumes and containers are made, replaced,
// started or removed, only where something differs.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "apps/berth/compose/config_hash.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/session.h"

namespace berth::cli::compose {

enum class Recreate { Diverged, Always, Never };

struct ConvergeOptions {
  std::vector<std::string> services = {};  ///< chosen; empty: all
  bool dependencies = true;                ///< also what they depend on
  bool start = true;
  Recreate recreate = Recreate::Diverged;
  Recreate recreate_dependencies = Recreate::Diverged;
  bool renew_anonymous_volumes = false;
  bool remove_orphans = false;
  bool ignore_orphans = false;               ///< says nothing of them
  bool wait = false;                         ///< until everything is running and healthy
  std::optional<int64_t> wait_timeout = {};  ///< seconds
  bool recreate_volumes = false;             ///< without asking, where a volume is not what the file says
  bool rollback = false;                     ///< on failure everything is as it was before
  std::optional<int64_t> timeout = {};       ///< seconds until a container that is stopped is killed
  std::map<std::string, int64_t> scale = {};
  bool all_resources = false;  ///< also networks and volumes that no service uses
  enum class Runs { AsFound, Again, ForTheFirstTime };
  /// Called, on some thread, when a container has been started or was found running.
  std::function<void(const Observed&, Runs)> running = {};
};

class Converger {
 public:
  Converger(Session& session, ConvergeOptions options) : session_(session), options_(std::move(options)) {}

  Outcome<void> run();

 private:
  /// What has been done and how it is undone, for rollback.
  struct Done {
    enum class What { Created, SetAside, Started, Stopped, NetworkMade, VolumeMade } what;
    std::string id, name;
    bool was_running = false;
  };

  Outcome<void> converge();
  Outcome<void> learn_images();
  std::set<std::string> used_networks() const;
  Outcome<void> make_networks();
  Outcome<void> make_network(const Resource& network, client::Client& engine);
  /// Containers that use the network are stopped and taken from it, so that it can be made anew.
  Outcome<std::vector<Observed>> empty_network(const Resource& network, client::Client& engine);
  Outcome<void> connect_again(const Resource& network, const std::vector<Observed>& containers,
                              client::Client& engine);
  Outcome<void> make_volumes();
  Outcome<void> make_volume(const Resource& volume, client::Client& engine);
  Outcome<bool> is_to_be_recreated(const Resource& volume, const Json& found);
  /// Containers of services for which `uses` holds are removed: what they stand on is made anew.
  Outcome<void> remove_users(const std::function<bool(const Service&)>& uses);
  Outcome<void> converge_service(const std::string& name);
  Outcome<void> provide(const Service& service);
  Outcome<void> await_dependencies(const Service& service, client::Client& engine);
  Outcome<void> await_dependency(const std::string& name, const Service::Dependency& dependency,
                                 const std::vector<Observed>& containers, client::Client& engine);
  std::string condition_awaited(const std::string& service) const;
  Outcome<void> shrink(std::vector<Observed>& containers, int64_t wanted, client::Client& engine);
  Outcome<std::string> create(const Service& service, int64_t number, const std::string& name,
                              client::Client& engine, const Observed* replaced);
  Outcome<void> replace(const Service& service, Observed& old, client::Client& engine);
  Outcome<void> stop_dependents(const std::string& service, client::Client& engine);
  Outcome<void> start(const Observed& container, client::Client& engine);
  ContainerOf container_of();
  bool lacks_surroundings(const Service& service, const Observed& container) const;
  bool diverged(const Service& service, const Observed& container);
  Recreate policy_for(const std::string& service) const;
  Outcome<std::map<std::string, std::string>> anonymous_volumes(const Service& service, const Observed& old,
                                                                client::Client& engine);
  Outcome<void> handle_orphans();
  Outcome<void> wait_all();
  void note(Done done);
  void undo();
  Outcome<void> commit();

  Session& session_;
  ConvergeOptions options_;
  std::set<std::string> names_;
  std::set<std::string> chosen_;
  std::map<std::string, std::string> image_ids_;  ///< by service
  std::mutex mutex_;
  std::vector<Observed> before_;
  std::map<std::string, std::string> containers_;  ///< service to its first container's id
  std::set<std::string> recreated_;
  std::vector<Done> done_;
};

/// Waits until the container is healthy, or running where it has no health check. Unhealthy or ended: a
/// failure.
/// `deadline`: unix seconds at which waiting is a failure. Looking twice finds out what ends at once.
enum class Look { Once, Twice };
Outcome<void> wait_until_healthy(client::Client& engine, const std::string& id, const std::string& name,
                                 std::optional<int64_t> deadline = {}, Look look = Look::Once);
/// The exit code of a container that ends by itself.
Outcome<int64_t> wait_for_end(client::Client& engine, const std::string& id, const std::string& name,
                              std::optional<int64_t> deadline = {});
/// Secrets and configs that are no files of the host are written into the new container.
Outcome<void> put_files(const Project& project, const Service& service, const std::string& id,
                        client::Client& engine);
/// Stop and remove.
Outcome<void> stop_container(Session& session, client::Client& engine, const Observed& container,
                             std::optional<int64_t> timeout);
Outcome<void> remove_container(Session& session, client::Client& engine, const Observed& container,
                               bool volumes);

}  // namespace berth::cli::compose
