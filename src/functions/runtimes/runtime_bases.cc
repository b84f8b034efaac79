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

std::string no_runtime(std::string_view name) {
  return fmt::format("there is no runtime \"{}\"", name.substr(0, 64));
}

}  // namespace

RuntimeBases::RuntimeBases(io::EventLoop& loop, engine::Engine& engine, BaseSource source)
    : loop_(loop), engine_(engine), source_(std::move(source)) {
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
    co_return Error(Kind::InvalidArgument, no_runtime(runtime));
  }
  std::shared_ptr<Making> own = making(runtime);
  co_await own->done.wait();
  if (!own->result) co_return Error(own->result.error());
  co_return find(runtime);
}

std::shared_ptr<RuntimeBases::Making> RuntimeBases::making(const std::string& runtime) {
  std::shared_ptr<Making>& place = making_[runtime];
  if (place) return place;
  std::shared_ptr<Making> fresh = place = std::make_shared<Making>();
  failed_.erase(runtime);
  tasks_.spawn(make(runtime, fresh));
  return fresh;
}

BaseStatus RuntimeBases::status(std::string_view runtime) const {
  if (find(runtime)) return {};
  std::string name = base_image_name(runtime);
  if (making_.contains(runtime)) {
    return {.state = BaseStatus::State::Making,
            .reason = fmt::format("The runtime's base {} is being made or pulled, which takes a minute or "
                                  "more the first time.",
                                  name)};
  }
  if (!is_known(runtime)) return {.state = BaseStatus::State::Failed, .reason = no_runtime(runtime)};
  if (auto failed = failed_.find(runtime); failed != failed_.end())
    return {.state = BaseStatus::State::Failed, .reason = failed->second};
  return {.state = BaseStatus::State::Absent,
          .reason =
              fmt::format("The runtime's base {} is not here; the next invocation makes or pulls it.", name)};
}

void RuntimeBases::begin(const std::string& runtime) {
  if (is_known(runtime) && !find(runtime)) making(runtime);
}

/// The name of a base of the same family that berth has made. What users have made of one has more layers.
std::optional<std::string> RuntimeBases::made_alike(std::string_view runtime) const {
  for (const std::string& other : runtimes_like(runtime)) {
    std::string name = base_image_name(other);
    auto image = engine_.images().find(name);
    if (!image || !image->config || image->config->diff_ids.size() != 1) continue;
    const auto& labels = image->config->config.labels;
    auto label = labels.find(std::string(kBaseLabel));
    if (label != labels.end() && label->second == family_of(runtime)) return name;
  }
  return std::nullopt;
}

io::Task<Result<void>> RuntimeBases::bring(std::string runtime) {
  bool made = base_recipe(runtime).has_value(), pulled = !source_.registry.empty();
  if (!made && !pulled) {
    co_return failure(
        Kind::Unavailable,
        "berth has no packages to make a base for \"{}\", and pulls none "
        "(--functions-base-registry \"\"): tag an image that has its runtime and runtime client "
        "with {}, for example AWS's",
        runtime, base_image_name(runtime));
  }
  bool pull_first = pulled && (!made || source_.first == BaseSource::First::Pulled);
  io::Task<Result<void>> first = pull_first ? pull(runtime) : make_here(runtime);
  auto brought = co_await std::move(first);
  if (brought || !made || !pulled) co_return brought;
  log::warn("functions: {}", brought.error().message());
  io::Task<Result<void>> second = pull_first ? make_here(runtime) : pull(runtime);
  auto after_all = co_await std::move(second);
  if (after_all) co_return after_all;
  co_return failure(Kind::Unavailable, "{}; {}", brought.error().message(), after_all.error().message());
}

io::Task<Result<void>> RuntimeBases::make_here(std::string runtime) {
  std::string name = base_image_name(runtime);
  // One of a family at a time: the next has what this one makes.
  io::Mutex::Guard guard = co_await families_[std::string(family_of(runtime))].lock();
  if (auto alike = made_alike(runtime)) {
    io::Task<Result<void>> tagging = engine_.images().tag(*alike, name, "latest");
    co_return co_await std::move(tagging);
  }
  log::info("functions: making {}, which takes a moment the first time", name);
  auto tell = [](std::string_view line) { log::info("functions: {}", line); };
  io::Task<Result<storage::BootstrapResult>> bootstrap =
      engine_.images().bootstrap(std::string(kPrefix) + runtime, tell);
  auto made = co_await std::move(bootstrap);
  if (!made) {
    co_return failure(Kind::Unavailable, "the base for \"{}\" could not be made: {}", runtime,
                      made.error().message());
  }
  log::info("functions: {} is ready", made->name);
  co_return Result<void>();
}

io::Task<Result<void>> RuntimeBases::pull(std::string runtime) {
  std::string name = base_image_name(runtime);
  std::string published = source_.registry + "/" + published_base(runtime);
  auto reference = spec::Reference::parse(published);
  if (!reference) co_return std::move(reference).error().in("--functions-base-registry", source_.registry);
  log::info("functions: pulling {} for {}", published, name);
  registry::PullRequest request{.reference = reference->with_default_tag()};
  registry::MessageCallback ignore = [](const registry::Message&) {};
  auto pulling = engine_.registries().pull(std::move(request), std::move(ignore));
  auto pulled = co_await std::move(pulling);
  if (!pulled) {
    co_return failure(
        Kind::Unavailable,
        "the base for \"{}\" could not be pulled: {}; an image that has its runtime and runtime "
        "client can be tagged with {}",
        runtime, pulled.error().message(), name);
  }
  io::Task<Result<void>> tagging = engine_.images().tag(published, name, "latest");
  co_return co_await std::move(tagging);
}

io::Task<void> RuntimeBases::make(std::string runtime, std::shared_ptr<Making> making) {
  io::Task<Result<void>> bringing = bring(runtime);
  making->result = co_await std::move(bringing);
  if (!making->result) failed_[runtime] = making->result.error().message();
  making_.erase(runtime);
  making->done.set();
}

}  // namespace berth::functions
