// Finding and making runtime bases.
#include "functions/runtimes/runtime_bases.h"

#include "base/format.h"
#include "base/log.h"
#include "engine/engine.h"
#include "functions/runtimes/runtime_recipes.h"

namespace berth::functions {
namespace {

constexpr std::string_view kPrefix = "lambda-";

/// What `berth bootstrap lambda-python3.11` makes.
std::optional<storage::PackageImage> recipe_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  return base_recipe(name.substr(kPrefix.size()));
}

}  // namespace

RuntimeBases::RuntimeBases(io::EventLoop& loop, engine::Engine& engine) : loop_(loop), engine_(engine) {
  static const bool registered = [] {
    storage::add_bootstrap_recipe(base_recipe_names(), recipe_of);
    return true;
  }();
  (void)registered;
}

bool RuntimeBases::is_known(std::string_view runtime) {
  return is_known_runtime(runtime);
}

Result<RuntimeBase> RuntimeBases::find(std::string_view runtime) const {
  std::string name = base_image_name(runtime);
  TRY(auto image, engine_.images().find(name));
  RuntimeBase base{.image = std::move(name), .image_id = image.id.str()};
  if (image.config) {
    base.entry_point = image.config->config.entrypoint;
    auto label = image.config->config.labels.find("berth.runtime");
    if (label != image.config->config.labels.end()) base.description = label->second;
  }
  return base;
}

io::Task<Result<RuntimeBase>> RuntimeBases::ensure(std::string runtime) {
  auto found = find(runtime);
  if (found || found.error().kind() != Kind::NotFound) co_return found;
  if (!is_known(runtime)) {
    co_return failure(Kind::InvalidArgument, "there is no runtime \"{}\"",
                      std::string_view(runtime).substr(0, 64));
  }
  std::shared_ptr<Making>& making = making_[runtime];
  if (!making) {
    making = std::make_shared<Making>();
    tasks_.spawn(make(runtime, making));
  }
  std::shared_ptr<Making> own = making;
  co_await own->done.wait();
  if (!own->result) co_return Error(own->result.error());
  co_return find(runtime);
}

io::Task<void> RuntimeBases::make(std::string runtime, std::shared_ptr<Making> making) {
  std::string name = std::string(kPrefix) + runtime;
  if (!base_recipe(runtime)) {
    making->result = failure(
        Kind::Unavailable,
        "berth has no packages to make a base for \"{}\": tag an image that has its runtime and runtime "
        "client with {}, for example public.ecr.aws/lambda's",
        runtime, base_image_name(runtime));
  } else {
    log::info("functions: making {}, which takes a moment the first time", base_image_name(runtime));
    auto tell = [](std::string_view line) { log::info("functions: {}", line); };
    io::Task<Result<storage::BootstrapResult>> bootstrap = engine_.images().bootstrap(name, tell);
    auto made = co_await std::move(bootstrap);
    if (made) {
      log::info("functions: {} is ready", made->name);
    } else {
      making->result = failure(Kind::Unavailable, "the base for \"{}\" could not be made: {}", runtime,
                               made.error().message());
    }
  }
  making_.erase(runtime);
  making->done.set();
}

}  // namespace berth::functions
