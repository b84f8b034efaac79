// From a step that was kept to a container that has exited.
#include "api/docker/step_containers.h"

#include <chrono>

#include "base/id.h"
#include "engine/adopted_container.h"

namespace berth::api {
namespace {

spec::CreateRequest create_request(const build::KeptStep& step, const StepContainerSettings& settings) {
  spec::CreateRequest request;
  request.config.image = step.image->str();
  // The command is whole: no entrypoint of the image's comes before it.
  request.config.entrypoint = {""};
  request.config.cmd = step.request.args;
  request.config.env = step.request.env;
  request.config.working_dir = step.request.cwd;
  request.config.user = step.request.user;
  request.config.attach_stdout = true;
  request.config.attach_stderr = true;
  request.config.labels = settings.labels;
  request.host_config.network_mode = settings.network_mode;
  request.host_config.extra_hosts = step.request.extra_hosts;
  request.host_config.shm_size = step.request.shm_size;
  request.host_config.resources = step.request.resources;
  return request;
}

class ContainerKeeper : public build::StepKeeper {
 public:
  ContainerKeeper(engine::Engine& engine, StepRemoval removal, StepContainerSettings settings)
      : engine_(engine), removal_(removal), settings_(std::move(settings)) {}

  void began(const build::StepRequest& request, const std::optional<Digest>& image) override {
    Running& step = running_[request.id];
    step = {.name = random_name(), .image = image ? image->str() : "", .started = now()};
    publish("create", request.id, step);
    publish("start", request.id, step);
  }

  void ended(const std::string& id, const std::optional<build::StepOutcome>& outcome) override {
    constexpr int killed = 137;
    const Running& step = running_[id];
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now() - step.started).count();
    publish("die", id, step,
            {{"exitCode", std::to_string(outcome ? outcome->exit_code : killed)},
             {"execDuration", std::to_string(std::max<int64_t>(0, seconds))}});
    if (outcome && wants(*outcome)) return;
    publish("destroy", id, step);
    running_.erase(id);
  }

  void passed(const spec::ImageConfig& config, const std::optional<Digest>& image) override {
    const Running step{.name = random_name(), .image = image ? image->str() : "", .started = now()};
    const std::string id = random_id();
    publish("create", id, step, config.config.labels);
    publish("destroy", id, step, config.config.labels);
  }

  bool wants(const build::StepOutcome& outcome) const override {
    if (removal_.always) return false;
    return outcome.exit_code != 0 || !removal_.after_success;
  }

  io::Task<Result<void>> keep(build::KeptStep step) override {
    engine::AdoptedContainer adopted{
        .id = step.request.id,
        .create = {.request = create_request(step, settings_), .name = name_for(step.request.id)},
        .chain_id = std::move(step.chain_id),
        .upper = std::move(step.upper),
        .exit_code = step.outcome.exit_code,
        .oom_killed = step.outcome.oom_killed,
        .started = step.started,
        .finished = step.finished};
    io::Task<Result<void>> adopting = engine::adopt_container(engine_, std::move(adopted));
    co_return co_await std::move(adopting);
  }

 private:
  struct Running {
    std::string name = {};
    std::string image = {};  ///< its id; empty: not known
    Timestamp started = {};
  };

  void publish(const char* action, const std::string& id, const Running& step,
               std::map<std::string, std::string> attributes = {}) {
    attributes.insert(settings_.labels.begin(), settings_.labels.end());
    attributes["name"] = step.name;
    if (!step.image.empty()) attributes["image"] = step.image;
    engine_.events().publish("container", action, id, std::move(attributes));
  }

  /// Its name so far, unless somebody else has it by now.
  std::string name_for(const std::string& id) {
    const std::string name = running_[id].name;
    return engine_.containers().find(name) ? std::string() : name;
  }

  engine::Engine& engine_;
  StepRemoval removal_;
  StepContainerSettings settings_;
  std::map<std::string, Running> running_;  ///< by id, those that are to be kept included
};

}  // namespace

std::shared_ptr<build::StepKeeper> keep_step_containers(engine::Engine& engine, StepRemoval removal,
                                                        StepContainerSettings settings) {
  return std::make_shared<ContainerKeeper>(engine, removal, std::move(settings));
}

}  // namespace berth::api
